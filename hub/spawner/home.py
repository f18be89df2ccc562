"""A user's one home volume: which claim it is, and what it is called when it must be made.

The claim is looked up by label, by the names that it may have, and by the annotation with the
user's name. A claim that belongs to somebody else (user ids are reused) is never taken, whatever
its name.
"""

import asyncio
import hashlib
import re
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from hub.spawner.cluster import Cluster
from hub.spawner.manifests import OWNER, Manifest

STORAGE = "component=singleuser-storage"
"""Selects the claims that KubeSpawner has made."""

Owned = Awaitable[Mapping[str, list[Manifest]]]

_SERVER = "hub.jupyter.org/servername"
_SERVER_FIELDS = re.compile(r"\{(safe_|escaped_|unescaped_)?servername\}")
_USER_SERVER = re.compile(r"\{(safe_|escaped_)?user_server\}")
_SUFFIX_LENGTH = 8


def without_server(template: str) -> str:
    """A template of KubeSpawner's names without the server's name: the home is the user's.

    >>> without_server("claim-{username}--{servername}"), without_server("claim-{user_server}")
    ('claim-{username}', 'claim-{username}')
    """
    plain = _SERVER_FIELDS.sub("", _USER_SERVER.sub(r"{\1username}", template))
    return plain.rstrip("-") if plain != template else template


def owner_of(found: Manifest) -> str | None:
    """The user's name that is written on an object; None if there is none."""
    annotations = found["metadata"].get("annotations") or {}
    return annotations.get(OWNER)


@dataclass(frozen=True)
class Home:
    """The claim of a user's home.

    Attributes:
        name: of the claim.
        others: further claims of the user, which are not used.
        unlabelled: which of all these lack the label with the user.
    """

    name: str
    others: tuple[str, ...] = ()
    unlabelled: tuple[str, ...] = ()


def choose(claims: Iterable[Manifest], user: str, names: Sequence[str]) -> Home | None:
    """The home among claims that are the user's by label, name or annotation.

    A claim that the hub's database or the configuration names comes first (`names`, in their
    order), then the oldest: what a user has worked with is there. A claim that was made for a named
    server comes last. A claim with somebody else's name on it is never chosen, nor one that is
    being deleted.
    """
    found = {
        claim["metadata"]["name"]: claim["metadata"]
        for claim in claims
        if owner_of(claim) in (user, None) and not claim["metadata"].get("deletionTimestamp")
    }
    if not found:
        return None

    def rank(meta: Manifest) -> tuple[bool, int, str, str]:
        name = meta["name"]
        order = names.index(name) if name in names else len(names)
        of_a_server = _SERVER in (meta.get("annotations") or {})
        return of_a_server, order, meta.get("creationTimestamp") or "", name

    first, *others = (str(meta["name"]) for meta in sorted(found.values(), key=rank))
    unlabelled = (name for name in (first, *others) if not _has_owner_label(found[name]))
    return Home(first, tuple(others), tuple(unlabelled))


def _has_owner_label(meta: Manifest) -> bool:
    return OWNER in (meta.get("labels") or {})


@dataclass(frozen=True)
class Names:
    """What a user's claim may be called.

    Attributes:
        remembered: what the hub's database says that the user's servers have mounted.
        usual: what it is called when it is made now.
        legacy: other names, under which it must have the user's name on it: names of users and
            their numbers may be alike.
    """

    remembered: tuple[str, ...]
    usual: str
    legacy: tuple[str, ...] = ()


async def find(
    cluster: Cluster, user: str, selector: str, names: Names, owned: Callable[[], Owned]
) -> Home | None:
    """The claim of a user's home, or None if there is none yet.

    Looks by label, by name, and last by the annotation that every KubeSpawner writes.

    Args:
        cluster: the namespace.
        user: the user's name.
        selector: selects the claims that carry the user's label.
        names: what the claim may be called if it has no label.
        owned: lists the claims of all users, by the user in their annotation.

    Raises:
        ClusterError: it cannot be known.
    """
    order = (*names.remembered, names.usual, *names.legacy)
    labelled = choose(await cluster.claims(selector), user, order)
    if labelled:
        return labelled
    for name in dict.fromkeys(order):
        claim = await cluster.claim(name)
        known = (user,) if name in names.legacy else (user, None)
        if claim and owner_of(claim) in known and (home := choose([claim], user, order)):
            return home
    annotated = [meta["metadata"]["name"] for meta in (await owned()).get(user, ())]
    there = [await cluster.claim(name) for name in annotated]
    return choose([claim for claim in there if claim], user, order)


class Owners:
    """The claims of all users of one namespace, by the user in their annotation.

    Listing them takes a while where there are thousands, and after a move many users come at once:
    one listing serves all who ask within `seconds`.
    """

    seconds = 30.0

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._found: Mapping[str, list[Manifest]] = {}
        self._until = 0.0

    async def list(self, cluster: Cluster) -> Mapping[str, list[Manifest]]:
        """All claims with an owner.

        Raises:
            ClusterError: they cannot be listed.
        """
        async with self._lock:
            if time.monotonic() > self._until:
                self._found = owners(await cluster.claims(STORAGE))
                self._until = time.monotonic() + self.seconds
        return self._found


def owners(claims: Iterable[Manifest]) -> dict[str, list[Manifest]]:
    """Claims by the user that is written on them; those of nobody are left out."""
    found: dict[str, list[Manifest]] = {}
    for claim in claims:
        if owner := owner_of(claim):
            found.setdefault(owner, []).append(claim)
    return found


async def free_name(cluster: Cluster, user: str, name: str) -> str:
    """What to call a new home: `name`, with a suffix if it is somebody else's claim."""
    claim = await cluster.claim(name)
    if claim is None or owner_of(claim) in (user, None):
        return name
    return f"{name}-{hashlib.sha256(user.encode()).hexdigest()[:_SUFFIX_LENGTH]}"
