"""Builds the poller from the settings, and what replaces old user names."""

from collections.abc import Callable

from accounting.config import Settings
from accounting.measure.poller import Options, Poller
from accounting.measure.source.prometheus import Source
from accounting.store.engine.database import Database
from accounting.store.erasure import expire_users
from accounting.store.ledger import Ledger
from accounting.wiring.months import open_from

_DAY = 86400.0


def poller_of(settings: Settings, database: Database, source: Source) -> Poller:
    """The poller.

    Raises:
        SettingsError: a setting that polling needs is missing.
    """
    options = Options(
        step_seconds=int(settings.poll.step),
        scrape_seconds=settings.prometheus.scrape_interval,
        history_days=settings.poll.history_days,
    )
    return Poller(
        Ledger(database),
        source,
        settings.scope(),
        settings.site(),
        settings.vo_rules(),
        options=options,
    )


def forgetter_of(settings: Settings, database: Database) -> Callable[[float], int]:
    """Replaces user names that are older than the retention, if one is set (I3).

    Returns:
        What takes the time now, Unix seconds, and returns in how many pods it replaced them.
    """
    days = settings.vo.user_retention_days

    def forget(now: float) -> int:
        if days is None:
            return 0
        return expire_users(database, now - days * _DAY, open_from(settings, now))

    return forget
