"""Faults on request: what goes wrong with which calls, and how often."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Request:
    """One call that was made; name is empty for collections, selector if there was none."""

    verb: str
    plural: str
    namespace: str
    name: str
    selector: str = ""


@dataclass
class Fault:
    """Goes wrong for the next `calls` matching calls.

    status 0 only delays; with `after`, the call is carried out and its answer is the failure.
    """

    verb: str
    plural: str
    status: int = 0
    name: str = ""
    seconds: float = 0.0
    after: bool = False
    calls: int = 1
    hits: int = field(default=0, init=False)

    def matches(self, request: Request) -> bool:
        return (
            self.hits < self.calls
            and self.verb in ("*", request.verb)
            and self.plural in ("*", request.plural)
            and self.name in ("", request.name)
        )


class Faults:
    """All faults that were asked for, the oldest first."""

    def __init__(self) -> None:
        self._planned: list[Fault] = []

    def add(self, fault: Fault) -> None:
        self._planned.append(fault)

    def take(self, request: Request) -> Fault | None:
        """The fault that this call meets, counted."""
        found = next((fault for fault in self._planned if fault.matches(request)), None)
        if found:
            found.hits += 1
        return found
