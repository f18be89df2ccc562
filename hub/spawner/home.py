"""A user's one home volume: which claim it is, and what it is called when it must be made.

The claim is looked up by label and by name. The namespace is never listed, and a claim that
belongs to somebody else (user ids are used again) is never taken, whatever its name.
"""

import hashlib
import re
from collections.abc import Iterable, Sequence

from hub.spawner.cluster import Cluster
from hub.spawner.manifests import OWNER, Manifest

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


def choose(claims: Iterable[Manifest], user: str, names: Sequence[str]) -> str | None:
    """The home among claims that are the user's by label or name: by `names`, else the oldest.

    A claim with somebody else's name on it is not chosen, nor one that is being deleted, and one
    that was made for a named server only last.
    """
    found = [
        claim["metadata"]
        for claim in claims
        if owner_of(claim) in (user, None) and not claim["metadata"].get("deletionTimestamp")
    ]
    if not found:
        return None

    def rank(meta: Manifest) -> tuple[bool, int, str, str]:
        name = meta["name"]
        order = names.index(name) if name in names else len(names)
        of_a_server = _SERVER in (meta.get("annotations") or {})
        return of_a_server, order, meta.get("creationTimestamp") or "", name

    return str(min(found, key=rank)["name"])


async def find(cluster: Cluster, user: str, selector: str, names: Sequence[str]) -> str | None:
    """The claim of a user's home, or None if there is none yet.

    Args:
        cluster: the namespace.
        user: the user's name.
        selector: selects the claims that carry the user's label.
        names: what the claim may be called if it has no label. Under the first of them it need
            not have the user's name on it either; under the others it must, since names of users
            and their numbers may be alike.

    Raises:
        ClusterError: it cannot be known.
    """
    labelled = choose(await cluster.claims(selector), user, names)
    if labelled:
        return labelled
    for name in names:
        claim = await cluster.claim(name)
        known = (user, None) if name == names[0] else (user,)
        if claim and owner_of(claim) in known and choose([claim], user, names):
            return name
    return None


async def free_name(cluster: Cluster, user: str, name: str) -> str:
    """What to call a new home: `name`, with a suffix if it is somebody else's claim."""
    claim = await cluster.claim(name)
    if claim is None or owner_of(claim) in (user, None):
        return name
    return f"{name}-{hashlib.sha256(user.encode()).hexdigest()[:_SUFFIX_LENGTH]}"
