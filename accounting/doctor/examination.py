"""All checks, one after the other."""

import time
from collections.abc import Iterator

from accounting.config import Settings
from accounting.doctor.database import clock, database, flavors, outbox
from accounting.doctor.delivery import delivery
from accounting.doctor.finding import Finding, State, guarded
from accounting.doctor.pages import pages
from accounting.doctor.source import metrics


def examine(settings: Settings, now: float | None = None) -> Iterator[Finding]:
    """All checks, one after the other.

    Args:
        settings: what is to be checked.
        now: Unix time; the clock's if not given.
    """
    at = time.time() if now is None else now
    yield from guarded("settings", lambda: _settings(settings))
    yield from guarded("Prometheus", lambda: metrics(settings, at))
    yield from guarded("database", lambda: database(settings))
    yield from guarded("clock", lambda: clock(settings, at))
    yield from guarded("outbox", lambda: outbox(settings))
    yield from guarded("flavours", lambda: flavors(settings, at))
    yield from guarded("pages", lambda: pages(settings))
    yield from guarded("certificate", lambda: delivery(settings, at))


def _settings(settings: Settings) -> Iterator[Finding]:
    site = settings.site()
    settings.vo_rules()
    yield Finding("settings", State.OK, f"records are of the site {site.name}")
