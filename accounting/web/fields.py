"""What a form says: values, and what is wrong with them, field by field.

A browser sends empty fields too. And whoever mistypes a month wants their form back, with the other
fields as they were.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import date

from accounting.api.parameters import moment, month
from accounting.guard.problem import Problem
from accounting.model.time import Month

_LONGEST = 300
_DAY = 86400
_DIGITS = 4


class Fields:
    """The fields of one form.

    Args:
        given: as they were sent.

    Attributes:
        wrong: field → what is the matter with it.
    """

    def __init__(self, given: Mapping[str, str]) -> None:
        self._given = given
        self.wrong: dict[str, str] = {}

    def text(self, name: str) -> str:
        """Any text without spaces around it; empty if there is none."""
        said = self._given.get(name, "").strip()
        if len(said) > _LONGEST or "\0" in said:
            self.wrong[name] = f"At most {_LONGEST} characters, and no control characters."
            return ""
        return said

    def choice(self, name: str, options: Collection[str], default: str = "") -> str:
        """One of some words."""
        said = self._given.get(name, "").strip()
        if said and said not in options:
            self.wrong[name] = f"One of {', '.join(options)}."
            return default
        return said or default

    def month(self, name: str) -> Month | None:
        """A month."""
        said = self._given.get(name, "").strip()
        if not said:
            return None
        try:
            found = month(said)
            moment(str(found.start - 1))  # there are months before it, and
            moment(str(found.end))  # after it
        except ValueError:
            self.wrong[name] = "A month, for example 2026-11."
            return None
        return found

    def number(self, name: str) -> int:
        """A whole number of at most four digits; 0 if there is none."""
        said = self._given.get(name, "").strip()
        if said and not (said.isascii() and said.isdigit() and len(said) <= _DIGITS):
            self.wrong[name] = "A whole number."
            return 0
        return int(said or 0)

    def day(self, name: str) -> int | None:
        """A UTC day, as days since 1970."""
        said = self._given.get(name, "").strip()
        if not said:
            return None
        try:
            return moment(date.fromisoformat(said).isoformat()) // _DAY
        except ValueError:
            self.wrong[name] = "A day, for example 2026-11-03."
            return None

    def refuse(self) -> None:
        """Refuse what is wrong: a file has no form that could be marked.

        Raises:
            Problem: something is.
        """
        if self.wrong:
            wrong = ", ".join(f"{field}: {said}" for field, said in self.wrong.items())
            raise Problem(400, wrong, "correct the address")


def months_back(ends: tuple[Month, Month] | None) -> Sequence[str]:
    """All months between two, the latest first, as a form offers them."""
    return [str(one) for one in reversed(list(ends[0].until(ends[1])))] if ends else []
