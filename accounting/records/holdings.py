"""What a pod held, over time: its sizes are a step function, so integrals are exact. Pure."""

from dataclasses import dataclass
from itertools import pairwise

from accounting.model.pods import Pod, Resources


@dataclass(frozen=True, slots=True)
class Held:
    """What a pod held for some seconds; None where nobody said anything."""

    seconds: float
    resources: Resources | None


def held(pod: Pod, since: float, until: float) -> list[Held]:
    """What the pod held in [since, until), Unix seconds, in order; at least one entry.

    A size counts from the first sample that shows it.
    """
    cuts = [since, *(at for at, _ in pod.resizes if since < at < until), until]
    spans = [Held(end - start, size_at(pod, start)) for start, end in pairwise(cuts)]
    return spans or [Held(0.0, size_at(pod, since))]


def size_at(pod: Pod, at: float) -> Resources | None:
    """The size at a Unix time."""
    current = pod.resources
    for since, resources in pod.resizes:
        if since <= at:
            current = resources
    return current
