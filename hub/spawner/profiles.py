"""Which profiles are open to whom."""

import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import unquote

Profile = dict[str, Any]

# AARC-G002 and AARC-G069: <namespace>:group:<vo>[:<sub>…][:role=<r>]#<authority>
_ENTITLEMENT = re.compile(
    r"(?P<namespace>(?i:urn):[^:#]+:[^#]+?):group:(?P<vo>[^:#]+)[^#]*(#(?P<authority>.*))?"
)
_NAMESPACE_ID = re.compile(r"urn:[^:]*", re.IGNORECASE)


def names_of(groups: Iterable[str], sources: Iterable[str]) -> frozenset[str]:
    """The groups as they are, and the VOs of those that are entitlements.

    Args:
        groups: as the provider lists them.
        sources: whose entitlements tell of VOs, as `urn:mace:egi.eu#aai.egi.eu`: namespace and
            authority, with `*` for any part of them. A provider also passes on
            entitlements of others, so not every URN tells of a VO. An authority is a host's name,
            so its case means nothing.
    """
    found, trusted = set(groups), tuple(sources)
    matches = [match for group in found if (match := _ENTITLEMENT.fullmatch(group))]
    vos = {unquote(match["vo"]) for match in matches if _is_trusted(match, trusted)}
    return frozenset(found | vos)


def _is_trusted(match: re.Match[str], sources: Iterable[str]) -> bool:
    given = _namespace(match["namespace"]), (match["authority"] or "").lower()
    for source in sources:
        namespace, _, authority = source.partition("#")
        is_the_namespace = fnmatchcase(given[0], _namespace(namespace))
        if is_the_namespace and fnmatchcase(given[1], authority.lower()):
            return True
    return False


def _namespace(text: str) -> str:
    """With `urn` and the namespace's identifier in small letters: their case means nothing.

    That of what follows does (RFC 8141, 3.1).
    """
    return _NAMESPACE_ID.sub(lambda found: found[0].lower(), text, count=1)


def claims_of(entry: Mapping[str, Any]) -> frozenset[str]:
    """Who an entry of the configuration is for: `vo_claims`, a list or a single text."""
    claims = entry.get("vo_claims") or ()
    return frozenset((claims,) if isinstance(claims, str) else claims)


def is_open(entry: Mapping[str, Any], names: frozenset[str]) -> bool:
    """Whether an entry is for somebody with these `names_of`: with no claims it is for everyone."""
    claims = claims_of(entry)
    return not claims or bool(claims & names)


def open_profiles(profiles: Iterable[Profile], names: frozenset[str]) -> list[Profile]:
    """The profiles for somebody with these `names_of`, one of them the default."""
    found = [profile for profile in profiles if is_open(profile, names)]
    if found and not any(profile.get("default") for profile in found):
        found[0] = {**found[0], "default": True}
    return found
