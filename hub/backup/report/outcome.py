"""What became of one volume, and of a whole run."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum


class State(StrEnum):
    """How it ended."""

    DONE = "done"
    INCOMPLETE = "incomplete"
    SKIPPED = "skipped"
    FAILED = "failed"


DONE, FAILED, INCOMPLETE = 0, 1, 3  # exit codes; 2 is wrong use


@dataclass(frozen=True)
class Outcome:
    """What became of one claim.

    Attributes:
        claim: its name.
        state: how it ended.
        said: one line: what was done, or why not, and the cure.
        snapshot: restic's id, if there is one.
        files: how many files were looked at, written or compared.
        size_bytes: how many bytes they have.
        added_bytes: how many were new to the repository.
    """

    claim: str
    state: State
    said: str
    snapshot: str = ""
    files: int = 0
    size_bytes: int = 0
    added_bytes: int = 0

    def to_json(self) -> str:
        """For the way from a worker's pod."""
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> "Outcome":
        """The way back.

        Raises:
            ValueError: it is none.
        """
        try:
            fields = json.loads(text)
            return cls(**{**fields, "state": State(fields["state"])})
        except (TypeError, KeyError) as exc:
            raise ValueError("is no outcome") from exc


def exit_code(outcomes: Iterable[Outcome]) -> int:
    """0: all done or rightly left alone; 3: something is incomplete or failed; 1: all failed."""
    states = [outcome.state for outcome in outcomes]
    if states and all(state is State.FAILED for state in states):
        return FAILED
    return INCOMPLETE if {State.FAILED, State.INCOMPLETE} & set(states) else DONE
