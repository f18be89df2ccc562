"""Which counters may have fallen: more must be asked about them. Pure."""

from collections.abc import Mapping
from itertools import pairwise

from accounting.measure.usage.counters.bounds import seldom_more
from accounting.measure.usage.samples import Points, Samples
from accounting.model.counters import CLEAR_SECONDS, RESET_BELOW
from accounting.model.pods import Account, Counter, CounterKind, SeriesKey
from accounting.model.time import Window


def falling(accounts: Mapping[str, Account], samples: Samples) -> set[str]:
    """The uids of pods of which a counter falls that can restart, or has just fallen.

    When Kepler restarts, the joules of all of a node's pods fall: of those, only the ones that may
    be taken back.
    """
    return {
        uid
        for uid, lines in samples.raw.items()
        if any(
            (_may_come_back if key.kind is CounterKind.ENERGY else _has_fallen)(
                account.counters.get(key) if (account := accounts.get(uid)) else None, line
            )
            for key, line in lines.items()
            if not key.by_id
        )
    }


def _has_fallen(known: Counter | None, points: Points) -> bool:
    highest = known.value if known else 0.0
    for _, value in points:
        if value < highest * RESET_BELOW:
            return True
        highest = max(highest, value)
    return known is not None and known.fell_at is not None


def _may_come_back(known: Counter | None, points: Points) -> bool:
    """Whether a fall may be taken back: then it matters how fast the counter can grow (``Line``).

    Otherwise it is a restart. Of one that is known already, the peak is not among the samples.
    """
    if known is not None and any(at >= points[0][0] for at, _ in known.resets):
        return True
    highest = known.value if known else 0.0
    for number, (_, value) in enumerate(points):
        if value < highest * RESET_BELOW:
            if _comes_back(points[number:], highest):
                return True
            highest = value
        highest = max(highest, value)
    return known is not None and known.fell_at is not None


def _comes_back(points: Points, peak: float) -> bool:
    """Whether a counter comes near its peak before its fall is clear; the first point is the fall.

    True as well if it is not clear yet at the last one.
    """
    clear_at = points[0][0] + CLEAR_SECONDS
    for (before, _), (_, value) in pairwise(points):
        if before >= clear_at:
            return False
        if value >= peak * RESET_BELOW:
            return True
    return points[-1][0] < clear_at


def fallen(
    accounts: Mapping[str, Account],
    found: Mapping[str, Mapping[SeriesKey, float]],
    window: Window,
) -> set[str]:
    """The names of pods of which a counter is lower than the ledger knows it: it fell unseen.

    And of those of which a counter grew by more than is usual: one sample may be a spike; or of
    which a fall may yet be taken back. Their raw samples must be read.
    """
    return {accounts[uid].pod.name for uid in fallen_uids(accounts, found, window)}


def fallen_uids(
    accounts: Mapping[str, Account],
    found: Mapping[str, Mapping[SeriesKey, float]],
    window: Window,
) -> set[str]:
    """The uids of the same pods."""
    uids = set()
    least = {kind: seldom_more(kind, window.seconds, None) for kind in CounterKind}
    for uid, readings in found.items():
        account = accounts.get(uid)
        if account is None:
            continue
        counters = account.counters
        for key, value in readings.items():
            known = counters.get(key)
            if (
                known
                and known.at <= window.start
                and (value < known.value * RESET_BELOW or known.fell_at is not None)
            ) or (
                value > least[key.kind]  # hot loop: nearly always enough
                and value - (known.value if known else 0.0)
                > seldom_more(key.kind, window.seconds, account.pod.resources)
            ):
                uids.add(uid)
    return uids
