"""Eight weeks of notebooks in the ledger, always the same: all that a page may have to show."""

from collections.abc import Iterator
from itertools import pairwise
from random import Random
from uuid import UUID

from accounting.model.pods import Account, Owner, Pod, Reading, Resources
from accounting.model.time import Gap, Month, Window
from accounting.model.volumes import Measured, Quality, Volume, VolumeSeen
from accounting.records import builder
from accounting.records.builder import Site
from accounting.records.identity import VoRules
from accounting.records.volumes import merged
from accounting.store.engine.database import Database
from accounting.store.ledger import Ledger, Progress, Step

SITE = Site("EXAMPLE-NOTEBOOKS")
RULES = VoRules(default="training")
DAY = 86400
NOW = 1_795_608_000.0
"""2026-11-25 12:00 UTC."""
READ_UNTIL = int(NOW) - 90
FIRST = int(NOW) // DAY * DAY - 56 * DAY
ADAS_LONG_ONE = "7d1f9a02-5c1e-4f6b-9d3a-2b8c4e6f1a01"
BOBS = "3b0e6c4d-8f27-4a19-b5c2-9e7d1f3a5b02"
HELD = "c54e8f10-2a6b-4d97-8e3f-6b1a9c2d7e03"
GAPS = [
    Gap(FIRST + 29.0 * DAY + 9 * 3600, FIRST + 29.0 * DAY + 13 * 3600),
    Gap(FIRST + 35.0 * DAY - 3600, FIRST + 36.0 * DAY + 7200),
]
_FLAVORS = (("small", 1.0, 2, 0), ("medium", 2.0, 8, 0), ("large", 8.0, 32, 0), ("gpu", 4.0, 16, 1))
_VOS = (("physics", 9, 5), ("biology", 6, 3), ("climate", 3, 2), ("training", 12, 1))


def fill(database: Database) -> None:
    """Write it all, day by day, as polls would."""
    ledger = Ledger(database)
    found = list(accounts())
    edges = [*range(FIRST, READ_UNTIL, DAY), READ_UNTIL]
    for start, end in pairwise(edges):
        pages = found if end == READ_UNTIL else []
        ledger.commit(
            Step(
                window=Window(start, end),
                before=ledger.progress(),
                after=Progress(end, float(end), 60.0),
                accounts=pages,
                records=[r for page in pages for r in builder.records(page, SITE, RULES)],
                gaps=[gap for gap in GAPS if start < (gap.end_at or 0) <= end],
                spoke=True,
                rejected=0,
                volumes=list(volumes()) if end == READ_UNTIL else (),
            )
        )


def volumes() -> Iterator[Volume]:
    """The homes of some users, on the last days."""
    people = (("ada", "biology", 3), ("bob", "physics", 11), ("mia", "physics", 0))
    for user, group, used in people:
        for day in range(READ_UNTIL // DAY - 3, READ_UNTIL // DAY + 1):
            at = day * DAY + 3600
            measured = Measured(at, (used * 7 + day % 5) * 2**28, Quality.FILESYSTEM)
            seen = VolumeSeen(
                "jupyterhub",
                f"claim-{user}",
                day,
                at,
                allocated_bytes=20 * 2**30,
                user=user,
                group=group,
                measured=measured if used else None,
            )
            volume = merged(seen, [], SITE, RULES)
            assert volume
            yield volume


def accounts() -> Iterator[Account]:
    """The notebooks."""
    rng = Random(11)  # noqa: S311 - the same month every time
    yield _account(ADAS_LONG_ONE, "ada", "biology", READ_UNTIL - 32 * DAY, None, rng=rng, flavor=1)
    yield _account(BOBS, "bob", "physics", READ_UNTIL - 2 * DAY, 5 * 3600, rng=rng, flavor=3)
    held = _account(HELD, "eve\nline", "physics", READ_UNTIL - 3 * DAY, 7200, rng=rng)
    held.pod.image += "%%"
    yield held
    for day in range(57):
        at = FIRST + day * DAY
        is_weekend = (at // DAY + 3) % 7 >= 5
        for vo, people, often in _VOS:
            for _ in range(rng.randint(0, often if is_weekend else 2 * often)):
                start = at + rng.randint(6, 15) * 3600 + rng.randint(0, 3599)
                seconds = int(min(rng.expovariate(1 / 14000) + 300, 9 * 3600))
                if start >= READ_UNTIL:
                    continue
                is_adas = vo == "biology" and rng.random() < 0.3
                user = "ada" if is_adas else f"{vo}-{rng.randint(1, people)}"
                ends = seconds if start + seconds < READ_UNTIL else None
                uid = str(UUID(int=rng.getrandbits(128), version=4))
                yield _account(uid, user, vo, start, ends, rng=rng)


def _account(
    uid: str, user: str, vo: str, start: int, seconds: int | None, *, rng: Random, flavor: int = -1
) -> Account:
    """A notebook; one without an end still runs."""
    name, cores, gib, gpus = _FLAVORS[flavor if flavor >= 0 else rng.choice((0, 0, 0, 1, 1, 2, 3))]
    end = READ_UNTIL if seconds is None else start + seconds
    pod = Pod(
        uid=uid,
        namespace="hub",
        name=f"jupyter-{uid[-6:]}",
        first_running_at=start + 20.0,
        last_running_at=float(end),
        last_listed_at=float(end),
        started_at=float(start),
        owner=Owner(user, vo if rng.random() < 0.97 else "", name),
        resources=Resources(
            cpu_request=cores,
            memory_request_bytes=gib * 2.0**30,
            accelerators=(("nvidia_com_gpu", float(gpus)),) if gpus else (),
        ),
        image=f"registry.example.org/notebooks/{name}:2026.11",
        disk_bytes=2.0**34,
        ended=seconds is not None,
        owner_known=True,
    )
    busy = rng.random() * cores * 0.8
    edges = [m.last_second for m in Month.of(start).until(Month.of(end)) if m.last_second < end]
    readings = {
        Month.of(at): Reading(at, busy * (at - start), 3e5 * (at - start), 1e5 * (at - start))
        for at in [*edges, end]
    }
    return Account(pod, {}, readings)
