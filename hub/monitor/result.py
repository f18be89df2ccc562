"""What a check found, and what that means now."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum


class State(IntEnum):
    """As Nagios counts; the value is the probe's exit code."""

    OK = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3


_BY_GRAVITY = (State.OK, State.UNKNOWN, State.WARNING, State.CRITICAL)


@dataclass(frozen=True)
class Run:
    """One run of a check.

    Attributes:
        check: its name: ``notebook`` or ``binder``.
        began_at: Unix seconds.
        state: OK, WARNING (it works, but slowly or with remains of an earlier run) or CRITICAL.
        said: one line.
        steps: names of the steps and their seconds, in order; the last one is where it failed.
    """

    check: str
    began_at: float
    state: State
    said: str
    steps: tuple[tuple[str, float], ...] = ()

    @property
    def seconds(self) -> float:
        """How long it took."""
        return sum(seconds for _, seconds in self.steps)


@dataclass(frozen=True)
class Verdict:
    """What is known of a check now.

    Attributes:
        check: its name.
        state: its state; UNKNOWN if nothing was found yet, or too long ago.
        said: one line.
        age_seconds: since the end of the last run; ``None`` if there was none.
        last: the last run.
    """

    check: str
    state: State
    said: str
    age_seconds: float | None = None
    last: Run | None = None


def verdict(check: str, last: Run | None, now: float, stale_seconds: float) -> Verdict:
    """What the last run means now.

    Args:
        check: the check's name.
        last: its last run, if there was one.
        now: Unix seconds.
        stale_seconds: a result older than this says nothing any more.
    """
    if last is None:
        return Verdict(check, State.UNKNOWN, "nothing was checked yet")
    age = max(0.0, now - last.began_at - last.seconds)
    if age > stale_seconds:
        said = f"the last result is {shown_age(age)} old ({last.state.name}: {last.said})"
        return Verdict(check, State.UNKNOWN, said, age, last)
    return Verdict(check, last.state, last.said, age, last)


def worst(verdicts: Sequence[Verdict]) -> State:
    """The gravest state; a failure that is known weighs more than what is unknown."""
    states = [v.state for v in verdicts] or [State.UNKNOWN]
    return max(states, key=_BY_GRAVITY.index)


def shown_age(seconds: float) -> str:
    """A span of time as people say it."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"
