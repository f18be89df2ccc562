"""What the cluster's controllers do when objects come and go, as far as clients wait for it."""

from typing import Any

from tests.kubernetes.resources import BY_PLURAL
from tests.kubernetes.store import Change, Document, Store, timestamp

_OWNERS = ("pods", "secrets", "configmaps", "services", "jobs", "persistentvolumeclaims")
PROTECTION = "kubernetes.io/pvc-protection"


class Controllers:
    """Listens to the store and answers each change."""

    def __init__(self, store: Store) -> None:
        self.store = store
        store.listeners.append(self.on_change)

    def on_change(self, change: Change) -> None:
        if change.kind == "ADDED":
            self._added(change.plural, change.now)
        elif change.kind == "DELETED":
            self._deleted(change.plural, change.now)
        if change.kind != "DELETED" and change.plural in ("deployments", "statefulsets"):
            self._roll_out(change.plural, change.now)

    def _added(self, plural: str, found: Document) -> None:
        if plural == "persistentvolumeclaims" and not found["spec"].get("volumeName"):
            self._bind(found)
        if plural == "jobs":
            done = {"type": "Complete", "status": "True", "lastTransitionTime": timestamp()}
            times = {"startTime": timestamp(), "completionTime": timestamp()}
            self._status(plural, found, {"succeeded": 1, "conditions": [done], **times})
        if plural == "namespaces":
            self._status(plural, found, {"phase": "Active"})
            name = found["metadata"]["name"]
            account = {"metadata": {"name": "default"}}
            self.store.create(BY_PLURAL["serviceaccounts"], name, account)

    def _bind(self, claim: Document) -> None:
        """A volume for the claim, as a dynamic provisioner makes it."""
        meta, spec = claim["metadata"], claim["spec"]
        name = f"pvc-{meta['uid']}"
        size = {"storage": spec["resources"]["requests"]["storage"]}
        reference = {"namespace": meta["namespace"], "name": meta["name"], "uid": meta["uid"]}
        volume = {
            "metadata": {"name": name},
            "spec": {
                "capacity": size,
                "accessModes": spec["accessModes"],
                "persistentVolumeReclaimPolicy": "Delete",
                "storageClassName": spec.get("storageClassName") or "standard",
                "claimRef": {"kind": "PersistentVolumeClaim", "apiVersion": "v1", **reference},
                "hostPath": {"path": f"/volumes/{name}"},
            },
            "status": {"phase": "Bound"},
        }
        self.store.create(BY_PLURAL["persistentvolumes"], "", volume)
        self.store.update(
            "persistentvolumeclaims",
            claim,
            spec={"storageClassName": "standard", **spec, "volumeName": name},
            status={"phase": "Bound", "capacity": size, "accessModes": spec["accessModes"]},
            metadata={"finalizers": [PROTECTION]},
        )

    def _roll_out(self, plural: str, found: Document) -> None:
        wanted = found["spec"].get("replicas", 1)
        status: dict[str, Any] = {
            "observedGeneration": found["metadata"]["generation"],
            "replicas": wanted,
            "readyReplicas": wanted,
            "updatedReplicas": wanted,
            "availableReplicas": wanted,
        }
        if plural == "deployments":
            status["conditions"] = [
                {"type": kind, "status": "True", "reason": reason, "message": ""}
                for kind, reason in (
                    ("Available", "MinimumReplicasAvailable"),
                    ("Progressing", "NewReplicaSetAvailable"),
                )
            ]
        else:
            status |= {"currentRevision": "1", "updateRevision": "1"}
        if found.get("status") != status:
            self._status(plural, found, status)

    def _status(self, plural: str, found: Document, status: Document) -> None:
        self.store.update(plural, found, status=status)

    def _deleted(self, plural: str, gone: Document) -> None:
        self._collect_garbage(gone["metadata"]["uid"])
        if plural == "persistentvolumeclaims":
            self._release(gone)
        if plural == "pods":
            for name in claims_of(gone):
                claim = self.store.find(
                    "persistentvolumeclaims", gone["metadata"]["namespace"], name
                )
                if claim and "deletionTimestamp" in claim["metadata"]:
                    self.finish_claim(claim)
        if plural == "namespaces":
            for kind, resource in BY_PLURAL.items():
                for found in self.store.all(kind, gone["metadata"]["name"]):
                    if resource.namespaced:
                        self._remove(kind, found)

    def finish_claim(self, claim: Document) -> None:
        """Let a deleted claim go when no pod uses it any more."""
        meta = claim["metadata"]
        pods = self.store.all("pods", meta["namespace"])
        if not any(meta["name"] in claims_of(pod) for pod in pods):
            self._remove("persistentvolumeclaims", claim)

    def _release(self, claim: Document) -> None:
        volume = self.store.find("persistentvolumes", "", claim["spec"].get("volumeName", ""))
        if volume and volume["spec"].get("persistentVolumeReclaimPolicy") == "Delete":
            self._remove("persistentvolumes", volume)

    def _collect_garbage(self, uid: str) -> None:
        for plural in _OWNERS:
            for found in self.store.all(plural):
                owners = found["metadata"].get("ownerReferences") or []
                if any(owner["uid"] == uid for owner in owners):
                    self._remove(plural, found)

    def _remove(self, plural: str, found: Document) -> None:
        meta = found["metadata"]
        if self.store.find(plural, meta.get("namespace", ""), meta["name"]):
            self.store.remove(plural, meta.get("namespace", ""), meta["name"])


def claims_of(pod: Document) -> set[str]:
    """The names of the claims that a pod mounts."""
    volumes = pod["spec"].get("volumes") or []
    claims = (volume.get("persistentVolumeClaim") for volume in volumes)
    return {claim["claimName"] for claim in claims if claim}
