"""Checks of the certificates, and of where messages go."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial

from accounting.config import Settings
from accounting.doctor.finding import Finding, State, guarded
from accounting.wiring.places import Place, places
from accounting.wiring.senders import sender_of
from ssm.certificate import HostCertificate


def delivery(settings: Settings, now: float) -> Iterator[Finding]:
    """Whether each destination takes its certificate, or its spool can be written.

    Where there are several, findings name the destination as the settings do.
    """
    for place in places(settings):
        of = f" of {place.name}" if settings.destinations else ""
        yield from guarded(f"certificate{of}", partial(_place, settings, place, of, now))


def _place(settings: Settings, place: Place, of: str, now: float) -> Iterator[Finding]:
    sender = sender_of(settings, place)
    if service := place.service:
        login = partial(_login, sender.check, service.called, f"{sender.name} {service.shows}")
        yield from guarded(service.called, login)
        return
    if place.ssm.transport == "dirq":
        sender.check()
        yield Finding(f"spool{of}", State.OK, f"{sender.name} can be written")
        return
    at = datetime.fromtimestamp(now, UTC)
    host = HostCertificate.load(place.ssm.hostcert, place.ssm.hostkey)
    host.check(at)
    said = f"{host.dn}, valid for {host.days_left(at):.0f} days, and its key matches"
    if unfit := host.unfit:
        yield Finding(f"certificate{of}", State.FAILED, unfit.message, unfit.cure)
    elif warnings := host.warnings(at):
        yield Finding(f"certificate{of}", State.WARNING, said, warnings[0])
    else:
        yield Finding(f"certificate{of}", State.OK, said)
    said = f"{sender.name} accepts the certificate"
    yield from guarded(f"AMS{of}", partial(_login, sender.check, f"AMS{of}", said))


def _login(check: Callable[[], object], name: str, said: str) -> Iterator[Finding]:
    check()
    yield Finding(name, State.OK, said)
