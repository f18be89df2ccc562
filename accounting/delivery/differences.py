"""How what a month says now differs from what was delivered of it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Self

from accounting.model.time import Month


@dataclass(frozen=True, slots=True)
class Chosen:
    """Records of one month; empty text: all of them.

    Attributes:
        vo, user: equal to these.
        changed: only those that differ from what was delivered, or never were.
        destination: beside what this one holds, by its name in the settings or its address;
            empty: the first.
    """

    month: Month
    vo: str = ""
    user: str = ""
    changed: bool = False
    destination: str = ""


class Kind(StrEnum):
    """How a record stands to what was delivered."""

    SAME = "same"
    CHANGED = "changed"
    NEVER_SENT = "never sent"


@dataclass(frozen=True, slots=True)
class Difference:
    """One record beside what was last delivered of it.

    Attributes:
        changes: APEL key → (delivered, now), where they differ; empty text where there was none.
            All of it for a record that was never sent; nothing if what was sent is forgotten.
        wall_seconds, cpu_seconds: how much more the record says now; negative: less. None if what
            was sent is forgotten.
    """

    uid: str
    month: Month
    vo: str
    kind: Kind
    changes: Mapping[str, tuple[str, str]]
    wall_seconds: int | None
    cpu_seconds: int | None


@dataclass(slots=True)
class Comparison:
    """Many differences, counted and added up.

    Attributes:
        counts: how many records there are of each kind, by its name.
        wall_seconds, cpu_seconds: how much more all records say now; negative: less.
        forgotten: of how many records what was sent is forgotten: they are in no sum.
        different: those that differ, as far as they are kept.
    """

    counts: dict[str, int] = field(default_factory=lambda: {kind.value: 0 for kind in Kind})
    wall_seconds: int = 0
    cpu_seconds: int = 0
    forgotten: int = 0
    different: list[Difference] = field(default_factory=list)

    def add(self, found: Iterable[Difference], most: int | None = None) -> Self:
        """Take more in; of those that differ keep no more than ``most``."""
        for one in found:
            self.counts[one.kind.value] += 1
            if one.kind is Kind.SAME:
                continue
            self.forgotten += one.wall_seconds is None
            self.wall_seconds += one.wall_seconds or 0
            self.cpu_seconds += one.cpu_seconds or 0
            if most is None or len(self.different) < most:
                self.different.append(one)
        return self
