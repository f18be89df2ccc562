"""Whose usage a page is about: VO, user, flavour, image, by name or by a part of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select, union_all

from accounting.lookup.sums.question import By
from accounting.lookup.sums.statements import named
from accounting.lookup.sums.summaries import Summaries
from accounting.model.time import Month
from accounting.store.engine.access import Role, Viewer
from accounting.store.engine.database import Database
from accounting.web.fields import Fields
from accounting.web.span import Span

TITLES: Mapping[By, str] = {
    By.VO: "VO",
    By.USER: "User",
    By.FLAVOR: "Flavour",
    By.IMAGE: "Image",
}
_OFFERED = 300


@dataclass(frozen=True, slots=True)
class Filters:
    """What a form asks for.

    Attributes:
        exact: names that records have.
        contains: parts of names, whatever their case.
    """

    exact: Mapping[By, str]
    contains: tuple[tuple[By, str], ...]

    @property
    def asked(self) -> dict[str, str]:
        """As a page's address has it."""
        return {by.value: text for by, text in (*self.exact.items(), *self.contains)}

    def named(self) -> dict[str, Any]:
        """The exact ones, by their names in questions."""
        return {by.value: text for by, text in self.exact.items()}


def filters_of(fields: Fields, database: Database, viewer: Viewer, span: Span) -> Filters:
    """What a form asks for: a name if records have it, else all names that contain the text."""
    exact, contains = {}, []
    for by in TITLES:
        text = fields.text(by.value)
        if not text:
            continue
        if _is_name(database, viewer, by, text, span):
            exact[by] = text
        else:
            contains.append((by, text))
    return Filters(exact, tuple(contains))


def _is_name(database: Database, viewer: Viewer, by: By, text: str, span: Span) -> bool:
    """Whether it is asked for by name: a question for somebody else's usage is, and is refused."""
    if by is By.USER and (viewer.role is Role.SELF or text == viewer.user):
        return True
    if by is By.VO and viewer.role is Role.MANAGER:
        return text in viewer.vos or not any(text.lower() in vo.lower() for vo in viewer.vos)
    names = union_all(*named(viewer, by, span.first, span.last)).subquery().c.name
    with database.asking() as connection:
        found = connection.execute(select(names).where(names == text).limit(1))
        return found.first() is not None


def offered(summaries: Summaries, viewer: Viewer, month: Month) -> dict[str, list[str]]:
    """Names of a month to choose from, by field; the search finds all others, too."""
    names = summaries.names(viewer, month, _OFFERED)
    return {by.value: found for by, found in names.items()}
