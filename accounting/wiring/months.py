"""The months that figures still move in."""

from accounting.config import Settings
from accounting.model.time import Month


def open_from(settings: Settings, now: float) -> Month:
    """The first month that is not closed: corrections of earlier ones wait for ``republish``."""
    return Month.first_open(now, settings.record.close_after)
