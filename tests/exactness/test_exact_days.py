"""Hours by flavour, user, VO and UTC day, against what really happened in the cluster."""

from collections import Counter, defaultdict
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from accounting.delivery.outlets import days
from accounting.model.time import Month
from accounting.records.daily import DAY_SECONDS, Share
from accounting.simulation.judges.expectation import Reader
from accounting.simulation.stores.engines import run_prometheus
from accounting.simulation.stores.history import populate
from accounting.simulation.world.cluster import Cluster
from accounting.simulation.world.features import Features
from accounting.store.engine.database import Database
from tests.exactness.polling import HOUR, RULES, poll

START = datetime(2025, 10, 30, 9, tzinfo=UTC)
END = datetime(2025, 11, 2, 15, tzinfo=UTC)
MONTHS = (Month(2025, 10), Month(2025, 11))
INTERVAL = 120
FEATURES = Features.none().but(
    month_crossers=True, resized=True, short_pods=True, quick_restarts=True, completed=True
)


def told(database_url: str) -> dict[Share, int]:
    """What the ledger says, of both months."""
    with Database(database_url) as database, database.begin(reading=True) as connection:
        assert days.first_month(connection, MONTHS[1]) == MONTHS[0]
        assert days.first_month(connection, MONTHS[0]) == MONTHS[0]
        return {
            share: seconds
            for month in MONTHS
            for share, seconds in days.of_month(connection, month).items()
        }


def cut(found: dict[Share, float], whose: tuple[str, str, str], start: float, end: float) -> None:
    """Add [start, end) to its days."""
    while start < end:
        day = int(start // DAY_SECONDS)
        until = min(end, (day + 1.0) * DAY_SECONDS)
        found[Share(*whose, day)] += until - start
        start = until


def test_each_day_s_hours_are_those_of_the_cluster_whenever_it_was_polled(
    tmp_path: Path, new_ledger: Callable[[], str]
) -> None:
    cluster = Cluster.generate(
        7, START, END, pods=60, mean_life=9 * HOUR, features=FEATURES, interval_seconds=INTERVAL
    )
    populate(cluster, tmp_path / "prometheus")
    start, end = int(START.timestamp()), int(END.timestamp())
    with run_prometheus(tmp_path / "prometheus") as engine:
        once, often = new_ledger(), new_ledger()
        poll(engine.url, once, end)
        poll(engine.url, often, *range(start + 1000, end, 9 * HOUR), end)
    found = told(once)
    assert told(often) == found

    seen: dict[Share, float] = defaultdict(float)
    truth: dict[Share, float] = defaultdict(float)
    pods: Counter[Share] = Counter()
    crossing = resized = 0
    for one in Reader(cluster).pods():
        pod = one.pod
        if one.wall_seconds is None or pod.started is None:
            continue
        vo = pod.owner.vo or RULES.default
        whose = (pod.flavor, pod.user, vo)
        cut(seen, whose, pod.started, pod.started + int(one.wall_seconds))
        until = min(pod.run_until, end)
        cut(truth, whose, pod.started, until)
        for day in range(pod.started // DAY_SECONDS, int(until // DAY_SECONDS) + 1):
            pods[Share(*whose, day)] += 1
        crossing += pod.started // DAY_SECONDS != int(until // DAY_SECONDS)
        resized += pod.resized_at is not None
    assert crossing > 10
    assert resized > 3
    assert len({share.day for share in found}) == 4
    assert len({share.flavor for share in found}) > 2
    assert found == {share: seconds for share, seconds in seen.items() if seconds}
    for share, seconds in truth.items():
        # A notebook's last second is known as far as a scrape tells it.
        late = pods[share] * (INTERVAL + 1)
        assert -late <= found.get(share, 0) - seconds <= 0, share
