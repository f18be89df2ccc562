"""The stand-in's etcd: objects by kind, one growing resourceVersion, and the history of changes."""

import base64
import secrets
import uuid
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tests.kubernetes.failure import Failure, already_exists, conflict, invalid, not_found
from tests.kubernetes.resources import BY_PLURAL, Resource
from tests.kubernetes.validity import check

Document = dict[str, Any]
Key = tuple[str, str]  # namespace (empty for cluster-wide kinds) and name


@dataclass(frozen=True)
class Change:
    """ADDED, MODIFIED or DELETED, at a resourceVersion; before is None when it was ADDED."""

    version: int
    plural: str
    kind: str
    now: Document
    before: Document | None


def timestamp() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Store:
    """Not thread-safe: everything happens in the stand-in's event loop."""

    def __init__(self) -> None:
        self.version = 1
        self.forgotten = 0
        self.history: list[Change] = []
        self.listeners: list[Callable[[Change], None]] = []
        self._objects: dict[str, dict[Key, Document]] = {plural: {} for plural in BY_PLURAL}

    def find(self, plural: str, namespace: str, name: str) -> Document | None:
        return self._objects[plural].get((namespace, name))

    def get(self, plural: str, namespace: str, name: str) -> Document:
        found = self.find(plural, namespace, name)
        if found is None:
            raise not_found(plural, name)
        return found

    def all(self, plural: str, namespace: str | None = None) -> list[Document]:
        """Ordered by namespace and name, as etcd's keys are."""
        objects = self._objects[plural]
        return [objects[key] for key in sorted(objects) if namespace in (None, key[0])]

    def create(
        self, resource: Resource, namespace: str, given: Document, *, dry: bool = False
    ) -> Document:
        new = deepcopy(given)
        new.setdefault("apiVersion", resource.api_version)
        new.setdefault("kind", resource.kind)
        if (new["apiVersion"], new["kind"]) != (resource.api_version, resource.kind):
            raise Failure(400, f"the object's kind ({new['kind']}) does not match {resource.kind}")
        meta = new.setdefault("metadata", {})
        if not meta.get("name"):
            if not meta.get("generateName"):
                raise invalid(resource.kind, "", "metadata.name: Required value")
            meta["name"] = meta["generateName"] + secrets.token_hex(3)[:5]
        if resource.namespaced:
            self._place(resource, namespace, meta)
        key = (namespace if resource.namespaced else "", meta["name"])
        if key in self._objects[resource.plural]:
            raise already_exists(resource.plural, meta["name"])
        for stamp in ("uid", "resourceVersion", "creationTimestamp", "deletionTimestamp"):
            meta.pop(stamp, None)
        meta |= {"uid": str(uuid.uuid4()), "creationTimestamp": timestamp()}
        meta |= {"generation": 1} if resource.has_generation else {}
        _defaults(resource, new)
        check(resource, new)
        return new if dry else self._record("ADDED", resource, key, new, None)

    def _place(self, resource: Resource, namespace: str, meta: Document) -> None:
        if meta.setdefault("namespace", namespace) != namespace:
            raise Failure(400, "the namespace of the provided object does not match the request")
        home = self.find("namespaces", "", namespace)
        if home is None:
            raise not_found("namespaces", namespace)
        if "deletionTimestamp" in home["metadata"]:
            raise Failure(403, f"{resource.plural} is forbidden: {namespace} is being terminated")

    def replace(
        self, resource: Resource, namespace: str, name: str, given: Document, *, dry: bool = False
    ) -> Document:
        current = self.get(resource.plural, namespace, name)
        new, old = deepcopy(given), current["metadata"]
        meta = new.setdefault("metadata", {})
        if meta.get("resourceVersion") not in (None, "", old["resourceVersion"]):
            raise conflict(resource.plural, name)
        if meta.get("uid") not in (None, "", old["uid"]):
            raise conflict(resource.plural, name)
        if meta.setdefault("name", name) != name:
            raise Failure(400, "the name of the object does not match the name on the URL")
        for stamp in ("uid", "creationTimestamp", "generation", "namespace", "deletionTimestamp"):
            meta.pop(stamp, None)
            if stamp in old:
                meta[stamp] = old[stamp]
        new |= {"apiVersion": resource.api_version, "kind": resource.kind}
        meta["resourceVersion"] = old["resourceVersion"]
        if new == current:
            return current  # a change of nothing is no change
        _defaults(resource, new)
        _immutable(resource, current, new)
        if resource.has_generation and new.get("spec") != current.get("spec"):
            meta["generation"] = old.get("generation", 1) + 1
        check(resource, new)
        key = (namespace if resource.namespaced else "", name)
        return new if dry else self._record("MODIFIED", resource, key, new, current)

    def remove(self, plural: str, namespace: str, name: str) -> Document:
        """Gone at once, without grace."""
        found = self.get(plural, namespace, name)
        del self._objects[plural][namespace, name]
        return self._record("DELETED", BY_PLURAL[plural], (namespace, name), deepcopy(found), found)

    def update(self, plural: str, found: Document, **changes: Any) -> Document:
        """What a controller writes: fields replaced, `metadata` merged, nothing checked."""
        meta = found["metadata"]
        key = (meta.get("namespace", ""), meta["name"])
        new = deepcopy(found) | {k: v for k, v in changes.items() if k != "metadata"}
        new["metadata"] |= changes.get("metadata", {})
        return self._record("MODIFIED", BY_PLURAL[plural], key, new, found)

    def forget(self) -> None:
        """Compact: a watch from before now is answered with 410."""
        self.forgotten = self.version

    def _record(
        self, kind: str, resource: Resource, key: Key, new: Document, before: Document | None
    ) -> Document:
        self.version += 1
        new["metadata"]["resourceVersion"] = str(self.version)
        if kind != "DELETED":
            self._objects[resource.plural][key] = new
        change = Change(self.version, resource.plural, kind, new, before)
        self.history.append(change)
        for listener in tuple(self.listeners):
            listener(change)
        return new


def _defaults(resource: Resource, new: Document) -> None:
    """The few defaults of the API that clients look at."""
    if resource.plural == "secrets":
        plain = new.pop("stringData", None) or {}
        if plain:
            data = new.setdefault("data", {})
            data |= {k: base64.b64encode(v.encode()).decode() for k, v in plain.items()}
        new.setdefault("type", "Opaque")
    if resource.plural == "persistentvolumeclaims":
        new["spec"].setdefault("volumeMode", "Filesystem")
    if resource.plural == "pods":
        new["spec"].setdefault("terminationGracePeriodSeconds", 30)
        new["spec"].setdefault("restartPolicy", "Always")
    if resource.plural in ("pods", "persistentvolumeclaims", "persistentvolumes"):
        new.setdefault("status", {"phase": "Pending"})


def _immutable(resource: Resource, current: Document, new: Document) -> None:
    name = new["metadata"]["name"]
    fixed = [("Secret", "type")] if resource.kind == "Secret" else []
    if resource.kind in ("Secret", "ConfigMap") and current.get("immutable"):
        fixed += [(resource.kind, "data")]
    for kind, field in fixed:
        if current.get(field) != new.get(field):
            raise invalid(kind, name, f"{field}: Forbidden: field is immutable")
    if resource.kind == "Pod" and _unchanging_pod(current) != _unchanging_pod(new):
        raise invalid("Pod", name, "spec: Forbidden: pod updates may not change these fields")
    if resource.kind == "PersistentVolumeClaim":
        before, after = (
            {k: v for k, v in found["spec"].items() if k not in ("resources", "volumeName")}
            for found in (current, new)
        )
        if before != after:
            raise invalid(resource.kind, name, "spec: Forbidden: spec is immutable after creation")


def _unchanging_pod(pod: Document) -> Document:
    free = ("activeDeadlineSeconds", "tolerations", "terminationGracePeriodSeconds")
    spec = {key: value for key, value in pod["spec"].items() if key not in free}
    for kind in ("containers", "initContainers"):
        spec[kind] = [{**container, "image": ""} for container in spec.get(kind) or []]
    return spec
