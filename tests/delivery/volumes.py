"""Ledgers with a few home volumes in them."""

from collections.abc import Sequence

from accounting.model.time import Window
from accounting.model.volumes import DAY_SECONDS, Measured, Quality, Volume, VolumeSeen
from accounting.records.identity import VoRules
from accounting.records.volumes import merged
from accounting.store.engine.database import Database
from accounting.store.ledger import Ledger, Progress, Step
from accounting.store.volumes import Kept
from tests.delivery.books import NOVEMBER, RULES, SITE

DAY = NOVEMBER.start // DAY_SECONDS + 9
"""The 10th."""


def seen(number: int, *, day: int = DAY, used: int = 10**9) -> VolumeSeen:
    """What a window says of a user's home at noon."""
    at = day * DAY_SECONDS + DAY_SECONDS // 2
    return VolumeSeen(
        "hub",
        f"claim-{number}",
        day,
        at,
        allocated_bytes=20 * 2**30,
        user=f"user-{number}@example.org",
        measured=Measured(at, used, Quality.FILESYSTEM),
    )


def home(one: VolumeSeen, rules: VoRules = RULES) -> Volume:
    """That day of the volume, where nothing was known before."""
    made = merged(one, [], SITE, rules)
    assert made
    return made


def homes(database: Database, told: Sequence[VolumeSeen], watermark: int = 0) -> None:
    """Commit volumes as a poll would."""
    ledger = Ledger(database)
    before = ledger.progress()
    kept = Kept.read(database, told, is_replay=True)
    for one in told:
        volume = merged(one, kept.before(one), SITE, RULES, kept.group_of(one.user))
        assert volume
        kept.add(volume)
    end = max(watermark, before.watermark if before else NOVEMBER.start)
    ledger.commit(
        Step(
            window=Window(end - 300, end),
            before=before,
            after=Progress(end, float(end), 60.0),
            accounts=[],
            records=[],
            gaps=[],
            spoke=True,
            rejected=0,
            volumes=kept.written,
        )
    )


def over(database: Database, day: int) -> None:
    """Let a day be over."""
    ledger = Ledger(database)
    before = ledger.progress()
    assert before
    end = max(before.watermark, (day + 1) * DAY_SECONDS + 300)
    ledger.commit(
        Step(
            window=Window(end - 300, end),
            before=before,
            after=Progress(end, float(end), 60.0, before.revision),
            accounts=[],
            records=[],
            gaps=[],
            spoke=True,
            rejected=0,
        )
    )
