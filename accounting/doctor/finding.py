"""What a check found."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from accounting.errors import AccountingError
from ssm.errors import SsmError

CLOCK = "clock"
"""The check for times in the future."""


class State(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found; ``cure`` is empty where nothing needs to be done."""

    name: str
    state: State
    what: str
    cure: str = ""


def worst(findings: Iterable[Finding]) -> State:
    """The worst state of all."""
    order = list(State)
    return max((finding.state for finding in findings), key=order.index, default=State.OK)


def guarded(name: str, check: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """Turn an error into the finding that it is."""
    try:
        yield from check()
    except (AccountingError, SsmError) as exc:
        yield Finding(name, State.FAILED, exc.message, exc.cure)
