"""A user's one home volume: which claim it is, and what it is called when it must be made.

The claim is looked up by label, by the names that it may have, and by the annotation with the
user's name. A claim that belongs to somebody else (user ids are reused) is never taken, whatever
its name.
"""

import asyncio
import hashlib
import math
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from hub.spawner.manifests import OWNER, Manifest

STORAGE = "component=singleuser-storage"
"""Selects the claims that KubeSpawner has made."""
USUAL = "claim-{userid}"
"""What a new claim is called unless the configuration says otherwise."""
LEGACY = ("claim-{username}", "claim-{escaped_username}")
"""What claims may be called that were made otherwise."""

Owned = Awaitable[Mapping[str, list[Manifest]]]
"""All claims by their users; asked with how old the answer may be, in seconds."""


_SERVER = "hub.jupyter.org/servername"
_RELEASE = "release"  # Zero to JupyterHub puts it on whatever its hub makes
_SERVER_FIELDS = re.compile(r"\{(safe_|escaped_|unescaped_)?servername\}")
_USER_SERVER = re.compile(r"\{(safe_|escaped_)?user_server\}")
_SUFFIX_LENGTH = 8


class Claims(Protocol):
    """The claims of a namespace, as the cluster tells them or as they were listed.

    The cluster raises ClusterError where it cannot be known.
    """

    async def claims(self, selector: str) -> list[Manifest]:
        """Those that a label selector selects."""

    async def claim(self, name: str) -> Manifest | None:
        """One; None where there is none."""


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
class Owner:
    """Whose home is looked for, and by which hub.

    Attributes:
        name: of the user.
        labels: the name as KubeSpawner writes it in labels, today and in earlier versions.
        releases: the Helm releases whose claims are this hub's; empty if it is not known.
    """

    name: str
    labels: tuple[str, ...] = ()
    releases: tuple[str, ...] = ()

    def has(self, claim: Manifest) -> bool | None:
        """Whether the claim carries this user's name; None if it carries nobody's."""
        written = owner_of(claim)
        if written is not None:
            return written == self.name
        label = _labels(claim).get(OWNER)
        return None if label is None else label in self.labels

    def is_foreign(self, claim: Manifest) -> bool:
        """Whether it belongs to another hub of the namespace; that hub's users are others."""
        release = _labels(claim).get(_RELEASE)
        return bool(release and self.releases and release not in self.releases)


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

    @property
    def order(self) -> tuple[str, ...]:
        """All of them, the most certain first."""
        return tuple(dict.fromkeys((*self.remembered, self.usual, *self.legacy)))


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


@dataclass(frozen=True)
class Found:
    """What a search came to.

    Attributes:
        home: the user's; None if there is none.
        deleted: claims of the user that Kubernetes is deleting: nothing can mount them any more.
        foreign: claims with the user's name of another hub in the namespace.
        renamed: claims that the hub's database names, with another user's name on them.
    """

    home: Home | None = None
    deleted: tuple[str, ...] = ()
    foreign: tuple[str, ...] = ()
    renamed: tuple[str, ...] = ()


def choose(claims: Iterable[Manifest], names: Sequence[str]) -> Home | None:
    """The home among a user's claims.

    A claim without a volume comes last: nothing was ever in it (Pending), or it is lost. Then a
    claim that was made for a named server. Of the others, one that the hub's database or the
    configuration names comes first (`names`, in their order), then the oldest: what a user has
    worked with is there.
    """
    found = {_name(claim): claim for claim in claims}
    if not found:
        return None

    def rank(claim: Manifest) -> tuple[bool, bool, int, str, str]:
        name, meta = _name(claim), claim["metadata"]
        is_empty = (claim.get("status") or {}).get("phase") in ("Pending", "Lost")
        of_a_server = _SERVER in (meta.get("annotations") or {})
        order = names.index(name) if name in names else len(names)
        return is_empty, of_a_server, order, meta.get("creationTimestamp") or "", name

    first, *others = (_name(claim) for claim in sorted(found.values(), key=rank))
    unlabelled = (name for name in (first, *others) if OWNER not in _labels(found[name]))
    return Home(first, tuple(others), tuple(unlabelled))


async def find(
    cluster: Claims, owner: Owner, selector: str, names: Names, owned: Callable[[float], Owned]
) -> Found:
    """Look for a user's home by label, by name, and by the annotation of every KubeSpawner.

    All that carry the user's name are weighed together: the user may have worked in any. Listing
    the annotations takes long, so a listing may be some minutes old; it is read anew before a user
    is said to have no home.

    Args:
        cluster: the namespace.
        owner: the user.
        selector: selects the claims that carry the user's label.
        names: what the claim may be called if it has no label.
        owned: lists the claims of all users, by the user in their annotation.

    Raises:
        ClusterError: it cannot be known.
    """
    deleted: dict[str, None] = {}
    foreign: dict[str, None] = {}
    renamed: dict[str, None] = {}
    async for claims in _candidates(cluster, owner, selector, names, owned):
        usable = []
        for claim in claims:
            name = _name(claim)
            has = owner.has(claim)
            if has is False and name in names.remembered:
                renamed[name] = None
            if not (has or (has is None and name in (*names.remembered, names.usual))):
                continue
            if owner.is_foreign(claim) and name not in names.remembered:
                foreign[name] = None
            elif claim["metadata"].get("deletionTimestamp"):
                deleted[name] = None
            else:
                usable.append(claim)
        if home := choose(usable, names.order):
            return Found(home)
    return Found(None, tuple(deleted), tuple(foreign), tuple(renamed))


async def _candidates(
    cluster: Claims, owner: Owner, selector: str, names: Names, owned: Callable[[float], Owned]
) -> AsyncIterator[list[Manifest]]:
    """Claims that may be the user's, the cheapest question first."""
    labelled = await cluster.claims(selector)
    others = [*names.remembered, *await _annotated(owner, owned, Owners.minutes)]
    known = {_name(claim) for claim in labelled}
    yield labelled + await _named(cluster, [n for n in dict.fromkeys(others) if n not in known])
    for name in names.order[len(set(names.remembered)) :]:
        yield await _named(cluster, [name])
    yield await _named(cluster, await _annotated(owner, owned, Owners.seconds))


async def _annotated(owner: Owner, owned: Callable[[float], Owned], age: float) -> list[str]:
    return [_name(claim) for claim in (await owned(age)).get(owner.name, ())]


async def _named(cluster: Claims, names: Iterable[str]) -> list[Manifest]:
    return [claim for name in names if (claim := await cluster.claim(name))]


def _name(claim: Manifest) -> str:
    return str(claim["metadata"]["name"])


def _labels(claim: Manifest) -> Mapping[str, str]:
    return claim["metadata"].get("labels") or {}


class Owners:
    """The claims of all users of one namespace, by the user in their annotation.

    Listing them takes a while where there are thousands, and after a move many users come at once:
    one listing serves all who ask within `seconds`, or `minutes` where it only completes an answer.
    """

    seconds = 30.0
    minutes = 600.0

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._found: Mapping[str, list[Manifest]] = {}
        self._listed_at = -math.inf

    async def list(self, cluster: Claims, age: float = seconds) -> Mapping[str, list[Manifest]]:
        """All claims with an owner, as they were at most `age` seconds ago.

        Raises:
            ClusterError: they cannot be listed.
        """
        async with self._lock:
            if time.monotonic() - self._listed_at > age:
                self._found = owners(await cluster.claims(STORAGE))
                self._listed_at = time.monotonic()
        return self._found


def owners(claims: Iterable[Manifest]) -> dict[str, list[Manifest]]:
    """Claims by the user that is written on them; those of nobody are left out."""
    found: dict[str, list[Manifest]] = {}
    for claim in claims:
        if owner := owner_of(claim):
            found.setdefault(owner, []).append(claim)
    return found


async def free_name(cluster: Claims, owner: Owner, name: str) -> str:
    """What to call a new home: `name`, with a suffix if it is somebody else's claim."""
    claim = await cluster.claim(name)
    if claim is None or (owner.has(claim) is not False and not owner.is_foreign(claim)):
        return name
    text = " ".join((*owner.releases[:1], owner.name))
    return f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:_SUFFIX_LENGTH]}"
