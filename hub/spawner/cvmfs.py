"""CVMFS in users' servers: repositories of the CSI driver `cvmfs.csi.cern.ch`, read-only.

The driver mounts a repository when somebody looks into it, so after the pod has started. The
notebook sees such a later mount only with the propagation `HostToContainer`.
"""

import re
from collections.abc import Mapping
from typing import Any

from hub.spawner.manifests import Manifest

CLAIM = "cvmfs"
PATH = "/cvmfs"
"""Where software in CVMFS expects itself: its paths are absolute."""

_FOR_WHOM = ("vo_claims", "profiles")
_LISTS = ("repositories", *_FOR_WHOM)
_KEYS = frozenset({"claim", "path", *_LISTS})
_CLAIM = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*(\.[A-Za-z0-9][A-Za-z0-9-]*)+")


def cvmfs_addition(given: Mapping[str, Any]) -> Manifest:
    """The addition that mounts CVMFS; an empty mapping, which adds nothing, for an empty one.

    Args:
        given: the spawner's setting `cvmfs`; `wrong_cvmfs` finds nothing in it.
    """
    if not given:
        return {}
    path = str(given.get("path") or PATH).rstrip("/")
    mount = {"name": CLAIM, "readOnly": True, "mountPropagation": "HostToContainer"}
    mounts = [
        {**mount, "mountPath": f"{path}/{repository}", "subPath": repository}
        for repository in given.get("repositories") or ()
    ]
    source = {"claimName": given.get("claim") or CLAIM, "readOnly": True}
    return {
        **{key: given[key] for key in _FOR_WHOM if given.get(key)},
        "volumes": [{"name": CLAIM, "persistentVolumeClaim": source}],
        "volume_mounts": mounts or [{**mount, "mountPath": path}],
    }


def wrong_cvmfs(given: Mapping[str, Any]) -> str:
    """What is wrong with the setting, in one line; empty if nothing is."""
    unknown = sorted(set(given) - _KEYS)
    if unknown:
        return f"unknown key {unknown[0]!r}: use {', '.join(sorted(_KEYS))}"
    for key in _LISTS:
        listed = given.get(key) or []
        if not isinstance(listed, list | tuple) or not all(isinstance(i, str) for i in listed):
            return f"{key!r} is not a list of texts"
    claim, path = given.get("claim") or CLAIM, given.get("path") or PATH
    if not isinstance(claim, str) or not _CLAIM.fullmatch(claim):
        return f"{claim!r} is not the name of a PersistentVolumeClaim: for example {CLAIM!r}"
    if not isinstance(path, str) or not path.strip("/") or not path.startswith("/") or ":" in path:
        return f"{path!r} is not an absolute path below /: for example {PATH!r}"
    for repository in given.get("repositories") or ():
        if not _REPOSITORY.fullmatch(repository):
            return f"{repository!r} is not a repository: for example 'software.example.org'"
    return ""
