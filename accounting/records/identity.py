"""Whose usage it is: VO and FQAN from the hub's annotation (I1, I2). Pure.

And how much of a user's name may leave the house (I3).
"""

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from urllib.parse import quote, unquote

from aarc_entitlement import G069, ParseError

from accounting.model.pods import ERASED
from accounting.model.records import Vo

_MOST_NAME = 255
"""The characters of a VO's name: the repository takes no more, nor does an index of PostgreSQL."""
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_FQAN = re.compile(r"/[^/\s;:]+(/[^/\s;:]+)*")
_NOT_IN_FQAN = re.compile(r"[/;\s]")


class Privacy(StrEnum):
    """What a record says about its user."""

    KEEP = "keep"
    PSEUDONYM = "pseudonym"
    WITHHOLD = "withhold"


@dataclass(frozen=True)
class VoRules:
    """How groups become VOs.

    Attributes:
        default: the VO of pods without a group; empty for none.
        overrides: group text, or a regular expression for all of it → VO or ``/vo/group`` FQAN.
            An exact text wins over patterns, patterns count in their order.
        default_for_unmapped: send what cannot be mapped under ``default``, instead of holding it.
        privacy: VO name pattern → what its records say about users; ``keep`` where none matches.
        pseudonym_key: key of the pseudonyms' hash.
        excluded_users: users that are not accounted for, such as the monitoring user (M2).
        ascii_users: a destination carries ASCII only: escape users' other letters.
    """

    default: str = ""
    overrides: Mapping[str, str] = field(default_factory=dict)
    default_for_unmapped: bool = False
    privacy: Mapping[str, Privacy] = field(default_factory=dict)
    pseudonym_key: bytes = b""
    excluded_users: frozenset[str] = frozenset()
    ascii_users: bool = False


def decide(group: str, rules: VoRules) -> Vo:
    """The VO of a pod, from its primary group; ``Vo.name`` is empty if there is none."""
    group = group.strip().strip(_UNSEEN).strip()
    pattern = _override(group, rules.overrides) if group else ""
    if pattern:
        return _named(rules.overrides[pattern], "map", pattern)
    vo = _parsed(group)
    if vo is not None and len(vo.name) <= _MOST_NAME:
        return vo
    if rules.default and (not group or rules.default_for_unmapped):
        return _named(rules.default, "default", group)
    return Vo("", "", "none", group)


def _override(group: str, overrides: Mapping[str, str]) -> str:
    if group in overrides:
        return group
    return next((pattern for pattern in overrides if _matches(pattern, group)), "")


def _matches(pattern: str, text: str) -> bool:
    return _compiled(pattern).fullmatch(text) is not None


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error:  # an exact text that is no expression
        return re.compile(re.escape(pattern))


# What editors and forms leave around a text besides blanks: a byte order mark, zero-width signs.
_UNSEEN = "\ufeff\u200b\u200c\u200d\u2060"
# VOMS writes what is not given as "NULL".
_NOT_GIVEN = re.compile(r"/(?:Role|Capability)=(?:NULL)?(?=/|$)", re.IGNORECASE)


def _named(target: str, rule: str, source: str) -> Vo:
    fqan = _NOT_GIVEN.sub("", target if target.startswith("/") else f"/{target}")
    return Vo(fqan.split("/")[1], fqan, rule, source)


@lru_cache(maxsize=4096)
def _parsed(group: str) -> Vo | None:
    """A group that says its VO itself: an AARC entitlement, an FQAN, or a plain name."""
    if _FQAN.fullmatch(group):
        return _named(group, "fqan", group)
    if _PLAIN.fullmatch(group):
        return _named(group, "plain", group)
    try:
        entitlement = G069(group)
    except ParseError:
        return None
    parts = [unquote(part) for part in (entitlement.group, *entitlement.subgroups)]
    role = unquote(entitlement.role) if entitlement.role else ""
    if any(_NOT_IN_FQAN.search(part) for part in (*parts, role)):
        return None
    fqan = "/" + "/".join(parts) + (f"/Role={role}" if role else "")
    return Vo(parts[0], _NOT_GIVEN.sub("", fqan), "entitlement", group)


_UNFIT = re.compile(r"%%|[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_ESCAPED = re.compile(r"[%\x00-\x1f\x7f-\x9f\u2028\u2029]")
_ESCAPED_TO_ASCII = re.compile(r"[^\x20-\x24\x26-\x7e]")


def fit_user(user: str, *, ascii_only: bool = False) -> str:
    """The name as a record can carry it: percent-encoded (UTF-8) where it must be, else as it is.

    A record carries no line break, no control character and no "%%" (apel.md, rule 8). In a name
    that is escaped, "%" is "%25": so decoding it gives the name back.
    """
    if ascii_only and not user.isascii():
        return _ESCAPED_TO_ASCII.sub(lambda found: quote(found[0], safe=""), user)
    if user.isprintable() and "%%" not in user:  # nearly all
        return user
    if not _UNFIT.search(user):
        return user
    return _ESCAPED.sub(lambda found: quote(found[0], safe=""), user)


def shown_user(user: str, vo: str, rules: VoRules) -> str:
    """The user's name as records carry it; empty when it is withheld (I3)."""
    if not user or user == ERASED or not rules.privacy:
        return user
    policy = next((p for pattern, p in rules.privacy.items() if _matches(pattern, vo)), None)
    if policy is Privacy.WITHHOLD:
        return ""
    if policy is Privacy.PSEUDONYM:
        return hmac.new(rules.pseudonym_key, user.encode(), hashlib.sha256).hexdigest()[:32]
    return user
