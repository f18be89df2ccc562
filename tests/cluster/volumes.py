"""A storage class whose claims get volumes: what a cluster's provisioner does."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from tests.kubernetes.client import Client

CLASS = "standard"
_PROVISIONER = "example.org/tests"
_SECONDS = 0.2


@contextmanager
def provision(client: Client) -> Iterator[None]:
    """Make a volume for each new claim of the default class while the `with` lasts."""
    client.apply(
        {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": {
                "name": CLASS,
                "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
            },
            "provisioner": _PROVISIONER,
            "allowVolumeExpansion": True,
        }
    )
    over = threading.Event()

    def work() -> None:
        while not over.wait(_SECONDS):
            try:
                for claim in client.list("/api/v1/persistentvolumeclaims"):
                    if not claim["spec"].get("volumeName"):
                        _provide(client, claim)
            except httpx.HTTPError:  # the API server is away: the next round asks again
                continue

    thread = threading.Thread(target=work, name="provisioner", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _provide(client: Client, claim: dict[str, Any]) -> None:
    meta, spec = claim["metadata"], claim["spec"]
    name = f"pvc-{meta['uid']}"
    if spec.get("storageClassName") != CLASS or client.find(f"/api/v1/persistentvolumes/{name}"):
        return
    client.post(
        "/api/v1/persistentvolumes",
        {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": name},
            "spec": {
                "capacity": spec["resources"]["requests"],
                "accessModes": spec["accessModes"],
                "storageClassName": CLASS,
                "persistentVolumeReclaimPolicy": "Retain",
                "hostPath": {"path": f"/volumes/{name}"},
                "claimRef": {
                    "apiVersion": "v1",
                    "kind": "PersistentVolumeClaim",
                    "namespace": meta["namespace"],
                    "name": meta["name"],
                    "uid": meta["uid"],
                },
            },
        },
    )
