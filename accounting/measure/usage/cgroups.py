"""Whose a cgroup is, read from its path (M3). Pure."""

import re
from typing import NamedTuple

from accounting.model.pods import POD_LEVEL

_HEX = "[0-9a-f]"
_UID = rf"pod({_HEX}{{8}}(?:[-_]{_HEX}{{4}}){{3}}[-_]{_HEX}{{12}})"
# containerd with cgroupfs under a systemd kubelet writes …pod<uid>.slice:cri-containerd:<id>.
_POD_IN_CGROUP = re.compile(rf"{_UID}(?:\.slice)?([/:].*)?$")
_CONTAINER_ID = re.compile(rf"({_HEX}{{64}})")


class Cgroup(NamedTuple):
    """Whose a cgroup is: a pod's uid, and ``pod`` for its own or a container's id (M3, M4)."""

    uid: str
    level: str


_NOBODYS = Cgroup("", POD_LEVEL)


def container_id(text: str) -> str:
    """A container's id without what some runtimes put before it (``containerd://``)."""
    found = _CONTAINER_ID.search(text)
    return found[1] if found else text


def cgroup(path: str) -> Cgroup:
    """Read a cgroup's path, however it is nested.

    systemd writes the uid with underscores; kubelets inside another cgroup (kind) put more in
    front.
    """
    found = _POD_IN_CGROUP.search(path)
    if found is None:
        return _NOBODYS
    uid, inner = found[1].replace("_", "-"), found[2]
    if not inner:
        return Cgroup(uid, POD_LEVEL)
    container = _CONTAINER_ID.search(inner)
    return Cgroup(uid, container[1] if container else inner.strip("/:"))
