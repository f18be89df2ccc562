"""Faults that the broker stand-in shows on request: what networks, balancers and brokers do."""

import threading
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

Operation = Literal["login", "publish", "pull", "acknowledge", "any"]


class Fault(StrEnum):
    """How a call goes wrong. Kinds with a status take it from `Planned.status`."""

    STATUS = "status"  # the broker's own error JSON with that status
    EMPTY_ERROR = "empty error"  # that status and no body
    ODD_JSON = "odd json"  # that status and JSON of another shape
    HTML = "html"  # that status and a balancer's page
    ECHO = "echo"  # that status and a page that repeats the request with its headers
    EMPTY_OK = "empty ok"  # 200 and no body; nothing is stored
    HANG = "hang"  # nothing for `seconds`, then the connection closes; nothing is stored
    CLOSE = "close"  # the connection closes at once; nothing is stored
    DROP_ANSWER = "drop answer"  # the call is carried out, then the connection closes
    TRICKLE = "trickle"  # the call is carried out; its answer comes a byte every `seconds`
    SLOW = "slow"  # the call is carried out and answered after `seconds`


@dataclass(frozen=True)
class Planned:
    """One fault for one call; `status` is an HTTP status."""

    kind: Fault
    status: int = 500
    seconds: float = 0.0


class FaultPlan:
    """The faults still to come, first in, first out per operation; safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._planned: list[tuple[Operation, Planned]] = []

    def add(self, planned: Planned, *, calls: int, on: Operation) -> None:
        """Plan the same fault for the next `calls` calls of operation `on` ("any": of all)."""
        with self._lock:
            self._planned.extend([(on, planned)] * calls)

    def clear(self) -> None:
        """Drop what is still planned."""
        with self._lock:
            self._planned.clear()

    def take(self, operation: Operation) -> Planned | None:
        """The next fault for a call of `operation`, taken off the plan; None if there is none."""
        with self._lock:
            for index, (on, planned) in enumerate(self._planned):
                if on in (operation, "any"):
                    del self._planned[index]
                    return planned
        return None
