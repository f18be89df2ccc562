"""Checks of the pages' address."""

from collections.abc import Iterator

from accounting.config import Settings
from accounting.doctor.finding import Finding, State
from accounting.guard.hub import hub_of
from accounting.guard.origin import CURE, SHARED, origin_of


def pages(settings: Settings) -> Iterator[Finding]:
    """Whether administrators and managers get their views; nothing where nobody can log in."""
    origin = origin_of(settings)
    if hub_of(settings) is None:
        return
    if origin.kind == SHARED:
        what = "they share their address with notebooks: browsers show only one's own usage"
        yield Finding("pages", State.WARNING, what, CURE)
    else:
        where = origin.address or "the hub's domain"
        yield Finding("pages", State.OK, f"{where} is apart from notebooks")
