"""Checks of the certificate, and of where messages go."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from accounting.config import Settings
from accounting.doctor.finding import Finding, State, guarded
from accounting.wiring import sender_of
from ssm.certificate import HostCertificate


def delivery(settings: Settings, now: float) -> Iterator[Finding]:
    """Whether the certificate is good and the destination takes it, or the spool can be written."""
    ssm = settings.ssm
    sender = sender_of(settings)
    if ssm.transport == "dirq":
        sender.check()
        yield Finding("spool", State.OK, f"{sender.name} can be written")
        return
    at = datetime.fromtimestamp(now, UTC)
    host = HostCertificate.load(ssm.hostcert, ssm.hostkey)
    host.check(at)
    said = f"{host.dn}, valid for {host.days_left(at):.0f} days, and its key matches"
    if warnings := host.warnings(at):
        yield Finding("certificate", State.WARNING, said, warnings[0])
    else:
        yield Finding("certificate", State.OK, said)
    yield from guarded("AMS", lambda: _login(sender.check, sender.name))


def _login(check: Callable[[], object], name: str) -> Iterator[Finding]:
    check()
    yield Finding("AMS", State.OK, f"{name} accepts the certificate")
