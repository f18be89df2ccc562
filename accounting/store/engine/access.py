"""Viewers, and the restriction that every query of theirs carries.

Pages and endpoints never filter what they show. They hand their viewer to a query, and its
``WHERE`` holds the viewer's restriction.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

from sqlalchemy import ColumnElement, false, or_, select, true

from accounting.model.pods import ERASED
from accounting.store.tables import pods, records, volumes


class Right(StrEnum):
    """What a token may be used for."""

    READ = "read"
    OPERATE = "operate"
    METRICS = "metrics"


class Role(StrEnum):
    """How much of the records a viewer sees."""

    ADMIN = "admin"
    MANAGER = "manager"
    SELF = "self"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Viewer:
    """An authenticated user or program.

    Attributes:
        name: for people to read; a hub's user or service, or a static token's purpose.
        rights: what they may do at all.
        is_admin: they see and do everything.
        vos: the VOs that they manage.
        user: the hub's user whose own usage they see; empty for a program.
    """

    name: str
    rights: frozenset[Right]
    is_admin: bool = False
    vos: frozenset[str] = frozenset()
    user: str = ""

    @property
    def role(self) -> Role:
        """The widest of their roles."""
        if self.is_admin:
            return Role.ADMIN
        if self.vos:
            return Role.MANAGER
        return Role.SELF if self.user else Role.NONE

    def may(self, right: Right) -> bool:
        """Whether they have a right."""
        return right in self.rights

    def alone(self) -> "Viewer":
        """The same person without roles: they see their own usage, and do nothing."""
        rights = self.rights & {Right.READ}
        return replace(self, rights=rights, is_admin=False, vos=frozenset())

    def restriction(self) -> ColumnElement[bool]:
        """The condition on ``records`` that every query of this viewer carries."""
        if self.is_admin and self.may(Right.READ):
            return true()
        if not self.may(Right.READ):
            return false()
        allowed = [own(self.user)] if self.user else []
        if self.vos:
            allowed.append(records.c.vo.in_(sorted(self.vos)))
        return or_(false(), *allowed)

    def restriction_of_volumes(self) -> ColumnElement[bool]:
        """The condition on ``volumes`` that every query of this viewer carries."""
        if not self.may(Right.READ):
            return false()
        if self.is_admin:
            return true()
        allowed = []
        if self.user and self.user != ERASED:
            allowed.append(volumes.c.owner == self.user)
        if self.vos:
            allowed.append(volumes.c.vo.in_(sorted(self.vos)))
        return or_(false(), *allowed)

    def may_ask_for(self, *, user: str, vo: str) -> bool:
        """Whether the viewer may ask about one user or VO.

        Other questions are refused whether or not the user or VO exists: even an empty answer would
        tell. Users still see their own usage in a VO that they do not manage.
        """
        if self.is_admin:
            return True
        if user:
            return user == self.user or bool(self.vos)
        return not vo or vo in self.vos or not self.vos


def own(user: str) -> ColumnElement[bool]:
    """The condition of a record that is of a hub's user, whatever it shows of the name (I3).

    The ledger keeps the name that the hub wrote on the pod; the record may carry a pseudonym of it,
    or nothing. The pods of erased users belong to nobody.
    """
    if not user or user == ERASED:
        return false()
    return records.c.uid.in_(select(pods.c.uid).where(pods.c.user == user))
