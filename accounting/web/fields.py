"""What a form says: values, and what is wrong with them, field by field.

A browser sends empty fields too. And whoever mistypes a month wants their form back, with the other
fields as they were.
"""

from collections.abc import Collection, Mapping, Sequence

from accounting.api.parameters import month
from accounting.model.time import Month

_LONGEST = 300


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
            return month(said)
        except ValueError:
            self.wrong[name] = "A month, for example 2026-11."
            return None


def months_back(ends: tuple[Month, Month] | None) -> Sequence[str]:
    """All months between two, the latest first, as a form offers them."""
    return [str(one) for one in reversed(list(ends[0].until(ends[1])))] if ends else []
