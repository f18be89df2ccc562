"""The Secret with a user's tokens: merged, and safe against writers that come at the same time."""

import asyncio
import base64
import random
from collections.abc import Mapping

from hub.spawner.cluster import Cluster, ClusterError
from hub.spawner.home import owner_of
from hub.spawner.manifests import OWNER, Manifest

_ATTEMPTS = 20
_PAUSE_SECONDS = 0.05


def merged(current: Manifest | None, wanted: Manifest, tokens: Mapping[str, str]) -> Manifest:
    """The Secret to write: all keys that are there, with these tokens in their place.

    Args:
        current: as it was read, with its resourceVersion; None where there is none.
        wanted: its metadata and type, without data.
        tokens: by key. An empty one leaves the key as it is.

    A Secret of another user (user ids are used again) keeps nothing of theirs.
    """
    user = wanted["metadata"]["annotations"][OWNER]
    given = {key: base64.b64encode(t.encode()).decode() for key, t in tokens.items() if t}
    if current is None:
        return {**wanted, "data": given}
    meta, new = current["metadata"], wanted["metadata"]
    kept = (current.get("data") or {}) if owner_of(current) in (user, None) else {}
    return {
        **current,
        "metadata": {
            **meta,
            "annotations": (meta.get("annotations") or {}) | new["annotations"],
            "labels": (meta.get("labels") or {}) | new["labels"],
        },
        "data": kept | given,
    }


async def save(cluster: Cluster, wanted: Manifest, tokens: Mapping[str, str]) -> None:
    """Write tokens into the Secret, made if there is none; others' keys and changes are kept.

    Raises:
        ClusterError: Kubernetes did not let it be read or written; nothing was lost.
    """
    name = wanted["metadata"]["name"]
    for attempt in range(_ATTEMPTS):
        current = await cluster.secret(name)
        new = merged(current, wanted, tokens)
        if new == current:
            return
        write = cluster.create_secret if current is None else cluster.replace_secret
        if await write(new):
            return
        # somebody else was faster: read what they wrote, a little later than the others
        await asyncio.sleep(random.uniform(0, _PAUSE_SECONDS * (attempt + 1)))  # noqa: S311 - no secret: a pause
    raise ClusterError("update", f"secret {name}", None, f"it changed {_ATTEMPTS} times meanwhile")
