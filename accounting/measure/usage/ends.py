"""Whether a pod has ended, or only its source is silent (M7). Pure."""

from collections.abc import Mapping, Sequence

from accounting.measure.usage.heartbeat import Pulse
from accounting.measure.usage.samples import Sighting
from accounting.model.pods import (
    Account,
    Pod,
)
from accounting.model.time import Gap


def settle(
    accounts: Mapping[str, Account], beat: Pulse, orphans: set[str], gaps: Sequence[Gap]
) -> set[str]:
    """Decide for every pod on hand whether it has ended (M7); returns the uids that changed.

    Args:
        accounts: pods that were touched or were running before.
        beat: when the source spoke, up to the window's end.
        orphans: pods that cAdvisor sees although kube-state-metrics does not.
        gaps: silences of the source around these pods' ends.
    """
    if beat.spoken_at is None:
        return set()
    changed = set()
    for uid, account in accounts.items():
        pod = account.pod
        ended = _has_ended(pod, beat, uid in orphans)
        in_gap = ended and _fell_silent(pod, gaps, beat.alive_seconds)
        if (ended, in_gap) != (pod.ended, pod.ended_in_gap):
            pod.ended, pod.ended_in_gap = ended, in_gap
            changed.add(uid)
    return changed


def is_listed_since(pod: Pod, seen: Sighting | None, at: float) -> bool:
    """Whether the phase of a pod says all there is: running after ``at``, or not any more."""
    running, listed = pod.last_running_at, pod.last_listed_at
    if seen is not None:
        running = max(running, seen.last_running_at or 0.0)
        listed = max(listed, seen.last_listed_at)
    return running > at or listed > running


def _has_ended(pod: Pod, beat: Pulse, is_orphan: bool) -> bool:
    if pod.last_listed_at > pod.last_running_at:
        return True
    if is_orphan or beat.spoken_at is None:
        return False
    return beat.spoken_at - pod.last_running_at > beat.alive_seconds


def _fell_silent(pod: Pod, gaps: Sequence[Gap], tolerance_seconds: float) -> bool:
    if (pod.completion_at or 0.0) > pod.last_running_at:
        return False
    return any(abs(gap.start_at - pod.last_running_at) <= tolerance_seconds for gap in gaps)
