"""What a migration yields: the new values, and what the operator should know of them."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

Values = dict[str, Any]


class Kind(StrEnum):
    """What a finding asks of the operator."""

    DECIDE = "to decide"
    CHANGED = "changed"
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it was.

    Args:
        kind: whether it needs a decision.
        where: the key or file in the old configuration, dotted.
        what: what became of it and why, or what to decide. Never a value: it may be secret.
    """

    kind: Kind
    where: str
    what: str


@dataclass(slots=True)
class Migration:
    """The new values as they are made, with what was found on the way."""

    values: Values = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    def decide(self, where: str, what: str) -> None:
        """Note what only the operator knows."""
        self._note(Kind.DECIDE, where, what)

    def changed(self, where: str, what: str) -> None:
        """Note what is written otherwise now."""
        self._note(Kind.CHANGED, where, what)

    def dropped(self, where: str, what: str) -> None:
        """Note what is not needed any more."""
        self._note(Kind.DROPPED, where, what)

    def _note(self, kind: Kind, where: str, what: str) -> None:
        found = Finding(kind, where, what)
        if found not in self.findings:
            self.findings.append(found)

    def of(self, kind: Kind) -> list[Finding]:
        """The findings of one kind, in the order in which they were found."""
        return [found for found in self.findings if found.kind is kind]

    def set(self, path: str, value: object) -> None:
        """Set a value below its dotted path; mappings are merged."""
        *parents, last = path.split(".")
        inner = self.values
        for name in parents:
            inner = inner.setdefault(name, {})
        if isinstance(value, dict) and isinstance(inner.get(last), dict):
            inner[last].update(value)
        else:
            inner[last] = value
