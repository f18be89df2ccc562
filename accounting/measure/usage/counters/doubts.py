"""Of which pods more must be asked about their counters than the last values. Pure."""

from collections.abc import Container, Iterable, Mapping

from accounting.measure.promql.scope import RESET_LOOKBACK_SECONDS
from accounting.measure.usage.counters import levels, restarts
from accounting.measure.usage.counters.restarts import OWN
from accounting.measure.usage.samples import Samples, Sighting
from accounting.model.pods import POD_LEVEL, Account, CounterKind, SeriesKey
from accounting.model.time import Window

# A notebook server that nobody uses takes more.
_IDLE_CORES = 0.001


def counts(
    account: Account | None,
    readings: Mapping[SeriesKey, float],
    window: Window,
    seen: Sighting | None,
) -> bool:
    """Whether a pod's own cgroup counts: on some nodes it stays as it is, or has the pause alone.

    One that hardly moves may be idle, so its containers are asked, too. A window that is read
    again says nothing of that beside what the ledger knows from its end.
    """
    seconds: float = window.seconds
    if seen and seen.first_running_at is not None and seen.last_running_at is not None:
        seconds = seen.last_running_at - seen.first_running_at
    hardly = levels.HARDLY_SECONDS + _IDLE_CORES * seconds
    value = readings.get(OWN)
    if value is None:
        return False
    known = account.counters.get(OWN) if account else None
    if known is None or known.at > window.start:
        return value > hardly
    return value > known.value + hardly


def doubted(
    found: Samples,
    accounts: Mapping[str, Account],
    window: Window,
    tolerance_seconds: float,
    uids: Iterable[str],
) -> set[str]:
    """Of some pods with counters of their own, the names of those that may go on without.

    Of a pod that runs on after a short window, the next one reads all samples if need be.
    """
    is_short = window.seconds <= RESET_LOOKBACK_SECONDS
    late = window.end - tolerance_seconds
    names = set()
    for uid in uids:
        seen, account = found.sightings.get(uid), accounts.get(uid)
        runs_on = seen and not seen.stopped_at and (seen.last_running_at or 0.0) >= late
        if not (is_short and runs_on):
            names.add(seen.name if seen else account.pod.name if account else "")
    return names - {""}


def back(accounts: Mapping[str, Account], uids: Iterable[str]) -> set[str]:
    """The names of pods whose own cgroup has samples again, after only other sources had some."""
    return {
        accounts[uid].pod.name
        for uid in uids
        if uid in accounts and restarts.is_silent(accounts[uid].counters)
    }


def switched(
    found: Samples, accounts: Mapping[str, Account], window: Window, *, but: set[str]
) -> set[str]:
    """The names of running pods that had a cgroup of their own before, but for some uids.

    Those that have ended are listed on, often for days; nothing is read of them any more.
    """
    reach = window.start - RESET_LOOKBACK_SECONDS
    names = set()
    for uid in accounts.keys() - but:
        pod, seen = accounts[uid].pod, found.sightings.get(uid)
        is_over = pod.end_at is not None and (
            seen is None or (seen.last_running_at is None and pod.end_at < reach)
        )
        if not is_over and OWN in accounts[uid].counters:
            names.add(pod.name)
    return names


def running(found: Samples, accounts: Mapping[str, Account], *, but: set[str]) -> set[str]:
    """The names of pods that run, but for some uids."""
    names = {
        seen.name
        for uid, seen in found.sightings.items()
        if uid not in but and seen.last_running_at is not None
    }
    for uid in accounts.keys() - but:
        pod = accounts[uid].pod
        if not pod.ended:
            names.add(pod.name)
    return names


def doubtful(
    found: Samples,
    uids: Iterable[str],
    accounts: Mapping[str, Account],
    window: Window,
    previous: Window | None,
    *,
    told_before: Container[str],
) -> tuple[set[str], set[str], set[str]]:
    """Of some pods with counters of their own, those of which the counter may have restarted.

    A pod's cgroup is made anew when its node reboots, and with it its network, under another id: a
    pod all of whose networks the ledger knows runs on as before.

    Args:
        found: what the window says so far.
        uids: which pods.
        accounts: the pages of those that are known.
        window: which.
        previous: the one before, if it is known.
        told_before: the uids of those of which the look for counters that fell sees the last sample
            before the window.

    Returns:
        The names of pods that may come back after a silence; of those among them behind whose
        silence that look does not reach; of those that may be new ones.
    """
    is_close = previous is not None and follows_closely(window, previous)
    silent, unseen, renewed = set(), set(), set()
    for uid in uids:
        account = accounts.get(uid)
        if account is None:
            if uid in found.sightings:
                renewed.add(found.sightings[uid].name)
            continue
        known = account.counters.get(OWN)
        if known and (known.at < window.start or (known.at == window.start and not is_close)):
            silent.add(account.pod.name)
            if known.at < window.start or uid not in told_before:
                unseen.add(account.pod.name)
        if not known or not _knows_networks(account, found.readings[uid]):
            renewed.add(account.pod.name)
    return silent, unseen, renewed


def follows_closely(window: Window, previous: Window) -> bool:
    """Whether all that the window before has read was said within reach of this one's looks."""
    reach = window.start - RESET_LOOKBACK_SECONDS
    return previous.end == window.start and previous.start >= reach


def ending(
    found: Samples, uids: Iterable[str], accounts: Mapping[str, Account], late: float
) -> set[str]:
    """Of some pods, the names of those that are not seen running late in the window.

    The last sample of such a pod stands, and may be a low one.
    """
    names = set()
    for uid in uids:
        seen = found.sightings.get(uid)
        if seen is not None and (seen.stopped_at or (seen.last_running_at or 0.0) < late):
            names.add(seen.name)
        elif seen is None and uid in accounts:
            names.add(accounts[uid].pod.name)
    return names


def _knows_networks(account: Account, readings: Mapping[SeriesKey, float]) -> bool:
    is_known = False
    for key in readings:
        # An exporter may count a pod's traffic under the pod's own cgroup: that tells nothing.
        if key.kind is CounterKind.RECEIVED and not key.series.startswith(POD_LEVEL):
            if key not in account.counters:
                return False
            is_known = True
    return is_known
