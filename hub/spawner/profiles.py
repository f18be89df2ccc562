"""Which profiles are open to whom."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

Profile = dict[str, Any]

# AARC-G002 and AARC-G069: urn:<namespace>:<delegated>:group:<vo>[:<sub>…][:role=<r>]#<authority>
_ENTITLEMENT = re.compile(r"urn:[^:#]+:[^#]*?group:(?P<vo>[^:#]+)[^#]*(#.*)?")


def names_of(groups: Iterable[str]) -> frozenset[str]:
    """The groups as they are, and the VOs of those that are entitlements."""
    found = set(groups)
    matches = (_ENTITLEMENT.fullmatch(group) for group in tuple(found))
    return frozenset(found | {match["vo"] for match in matches if match})


def claims_of(entry: Mapping[str, Any]) -> frozenset[str]:
    """Who an entry of the configuration is for: `vo_claims`, a list or a single text."""
    claims = entry.get("vo_claims") or ()
    return frozenset((claims,) if isinstance(claims, str) else claims)


def is_open(entry: Mapping[str, Any], groups: Iterable[str]) -> bool:
    """Whether an entry is for somebody with these groups: with no claims it is for everyone."""
    claims = claims_of(entry)
    return not claims or bool(claims & names_of(groups))


def open_profiles(profiles: Iterable[Profile], groups: Iterable[str]) -> list[Profile]:
    """The profiles for somebody with these groups, one of them the default."""
    known = tuple(groups)
    found = [profile for profile in profiles if is_open(profile, known)]
    if found and not any(profile.get("default") for profile in found):
        found[0] = {**found[0], "default": True}
    return found
