"""A user's volume claim: what of it is kept, and how it is made anew."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from hub.program.failure import Failure

OWNER = "hub.jupyter.org/username"
"""KubeSpawner's annotation with the user's name."""

UNFINISHED = "egi.eu/unfinished-restore"
"""Annotation of a claim whose data are being put back: restic's id of the snapshot."""

# The control plane writes these for the volume that a claim has now.
_OF_THE_CLUSTER = (
    "pv.kubernetes.io/",
    "volume.kubernetes.io/",
    "volume.beta.kubernetes.io/",
    "kubectl.kubernetes.io/",
)


@dataclass(frozen=True)
class Claim:
    """A PersistentVolumeClaim, without what belongs to the volume that serves it now.

    Attributes:
        namespace: its namespace.
        name: its name.
        owner: the user's name; empty if the claim has no such annotation.
        size: as Kubernetes writes it, for example ``20Gi``: what the claim asks for, or what its
            volume has if that was made larger.
        storage_class: empty for the cluster's default.
        access_modes: for example ``("ReadWriteOnce",)``.
        labels: its labels.
        annotations: its annotations, the owner's name included.
        volume_mode: ``Filesystem`` or ``Block``.
        unfinished: the snapshot that a restore has not put back whole; empty if there is none.
    """

    namespace: str
    name: str
    owner: str = ""
    size: str = "1Gi"
    storage_class: str = ""
    access_modes: tuple[str, ...] = ("ReadWriteOnce",)
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    volume_mode: str = "Filesystem"
    unfinished: str = ""

    @classmethod
    def from_manifest(cls, manifest: Mapping[str, Any]) -> "Claim":
        """From what the Kubernetes API or a backup says.

        Raises:
            KeyError: it has neither name nor specification.
        """
        meta, spec = manifest["metadata"], manifest["spec"]
        annotations = meta.get("annotations") or {}
        unfinished = annotations.get(UNFINISHED, "")
        kept = {
            key: value
            for key, value in annotations.items()
            if key != UNFINISHED and not key.startswith(_OF_THE_CLUSTER)
        }
        capacity = (manifest.get("status") or {}).get("capacity") or {}
        requests = (spec.get("resources") or {}).get("requests") or {}
        return cls(
            namespace=meta.get("namespace", ""),
            name=meta["name"],
            owner=annotations.get(OWNER, ""),
            size=capacity.get("storage") or requests.get("storage") or "1Gi",
            storage_class=spec.get("storageClassName") or "",
            access_modes=tuple(spec.get("accessModes") or ("ReadWriteOnce",)),
            labels=dict(meta.get("labels") or {}),
            annotations=kept,
            volume_mode=spec.get("volumeMode") or "Filesystem",
            unfinished=unfinished,
        )

    def manifest(self) -> dict[str, Any]:
        """What makes it anew, as the Kubernetes API takes it."""
        spec: dict[str, Any] = {
            "accessModes": list(self.access_modes),
            "resources": {"requests": {"storage": self.size}},
            "volumeMode": self.volume_mode,
        }
        mark = {UNFINISHED: self.unfinished} if self.unfinished else {}
        if self.storage_class:
            spec["storageClassName"] = self.storage_class
        return {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {
                "name": self.name,
                "namespace": self.namespace,
                "labels": dict(self.labels),
                "annotations": {**self.annotations, **mark},
            },
            "spec": spec,
        }

    def moved(self, namespace: str | None, storage_class: str | None) -> "Claim":
        """The same in another namespace or storage class; ``None`` leaves them as they are."""
        return replace(
            self,
            unfinished="",
            namespace=self.namespace if namespace is None else namespace,
            storage_class=self.storage_class if storage_class is None else storage_class,
        )


def written(claims: Iterable[Claim]) -> bytes:
    """The claims as one List of manifests, JSON; ``kubectl apply -f`` takes it too."""
    items = [claim.manifest() for claim in sorted(claims, key=lambda c: (c.namespace, c.name))]
    document = {"apiVersion": "v1", "kind": "List", "items": items}
    return json.dumps(document, indent=1, ensure_ascii=False).encode()


def read(document: bytes) -> list[Claim]:
    """The claims of such a List.

    Raises:
        Failure: it is none.
    """
    try:
        return [Claim.from_manifest(item) for item in json.loads(document)["items"]]
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise Failure(
            "the backup's list of claims cannot be read",
            "choose an older one with --at, and run 'notebooks-backup check'",
        ) from exc
