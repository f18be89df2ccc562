"""A user's name, groups and primary group, from the provider's claims. Pure."""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hub.oidc.errors import Refused

Claims = Mapping[str, Any]
ANONYMOUS_DIGITS = 20  # hexadecimal: 80 bits


def is_service(claims: Claims) -> bool:
    """Whether a token is a program's own, with no user behind it.

    Every token and every answer to an introspection names a client; only where the subject *is*
    the client did the client act for itself (RFC 9068, 2.2: the client credentials grant).
    """
    client = claims.get("client_id") or claims.get("azp")
    return bool(client) and claims.get("sub", client) == client


def username(
    claims: Claims,
    *,
    claim: str,
    service_claim: str,
    service_prefix: str,
    anonymous_prefix: str | None,
    issuer: str,
) -> str:
    """What JupyterHub calls this user.

    Args:
        claims: From the userinfo endpoint, or of a program's own token.
        claim: Has the name.
        service_claim: Has the name of a program that acts for itself.
        service_prefix: Set before a program's name, so that it cannot be a user's.
        anonymous_prefix: Set before a name made from issuer and subject, for users without a name.
            Both stay the same for as long as the account exists. None: refuse such users.
        issuer: Who says so.

    Raises:
        Refused: There is no name.
    """
    name = claims.get(claim)
    if name:
        return str(name)
    if is_service(claims) and claims.get(service_claim):
        return f"{service_prefix}{claims[service_claim]}"
    if anonymous_prefix is not None and claims.get("sub"):
        subject = f"{issuer} {claims['sub']}".encode()
        return f"{anonymous_prefix}{hashlib.sha256(subject).hexdigest()[:ANONYMOUS_DIGITS]}"
    known = ", ".join(sorted(name for name, value in claims.items() if value)) or "none"
    raise Refused(
        f"The provider gave no {claim!r} (it gave: {known}): request its scope, set username_claim "
        "to a claim that it gives, or allow_anonymous"
    )


def groups(claims: Claims, names: Iterable[str]) -> tuple[str, ...]:
    """The groups that these claims list, each once, in the provider's order.

    A claim may be missing, one text or a list of texts; anything else in it is no group.
    """
    found: dict[str, None] = {}
    for name in names:
        value = claims.get(name)
        listed = [value] if isinstance(value, str) else value
        if isinstance(listed, list | tuple):
            found.update(
                dict.fromkeys(group for group in listed if isinstance(group, str) and group)
            )
    return tuple(found)


def primary_group(
    members_of: Sequence[str],
    priority: Iterable[str],
    allowed: Iterable[str] = (),
    *,
    in_order: bool = False,
) -> str | None:
    """The group that a user's work is accounted to.

    Args:
        members_of: The user's groups.
        priority: Groups, or regular expressions that match a whole group, most important first.
            Where an expression captures something, that is the primary group's name.
        allowed: Groups that may log in. With no priorities, a user who is in just one of them
            has it as the primary group; with two there is no telling.
        in_order: Of several such groups, take the one that the provider lists first.
    """
    patterns = list(priority)
    for pattern in patterns:
        for group in members_of:
            if group == pattern:
                return group
            match = re.fullmatch(pattern, group)
            if match:
                return next((part for part in match.groups() if part), group)
    known = set(allowed)
    candidates = [group for group in members_of if group in known]
    is_clear = bool(candidates) and (in_order or len(candidates) == 1)
    return candidates[0] if not patterns and is_clear else None
