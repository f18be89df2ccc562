"""The pod that works on one volume: it mounts the claim, runs this program, and reports.

A volume that only one node can mount is reached by a pod on that node, so each claim gets a pod of
its own, for as long as its volume takes. It needs no right in the cluster.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hub.backup.kubernetes.claim import Claim

NAME = "notebooks-backup"
CONTAINER = "worker"
LABELS = {"app.kubernetes.io/name": NAME, "app.kubernetes.io/component": CONTAINER}
SELECTOR = ",".join(f"{name}={value}" for name, value in LABELS.items())
_SCRATCH = "/scratch"


@dataclass(frozen=True)
class Job:
    """What a worker does with a claim's volume.

    Attributes:
        arguments: of ``notebooks-backup volume``; without secrets.
        writes: whether the volume is mounted for writing.
        finishes: whether it ends what the claim's mark of an unfinished restore stands for.
    """

    arguments: tuple[str, ...]
    writes: bool = False
    finishes: bool = False


@dataclass(frozen=True)
class Workshop:
    """What all workers of an installation share.

    Attributes:
        image: this program's image.
        secret_name: the Secret with the repository's password and keys.
        secrets_dir: where it is mounted.
        volumes_dir: where volumes are mounted.
        environment: the settings that workers need.
        user_id: who owns the files.
        group_id: their group.
        resources: of the container.
        extra: what else the pod's specification says.
        deadline_seconds: longest life of a worker.
    """

    image: str
    secret_name: str
    secrets_dir: str
    volumes_dir: str
    environment: Mapping[str, str]
    user_id: int
    group_id: int
    resources: Mapping[str, object]
    extra: Mapping[str, object] = field(default_factory=dict)
    deadline_seconds: int = 21600


def worker_pod(shop: Workshop, name: str, claim: Claim, job: Job, node: str) -> dict[str, Any]:
    """The pod's manifest.

    Args:
        shop: what all share.
        name: of the pod.
        claim: whose volume.
        job: what is done.
        node: where a running server uses the volume; empty: wherever it can be mounted.
    """
    spec: dict[str, Any] = {
        "restartPolicy": "Never",
        "activeDeadlineSeconds": shop.deadline_seconds,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsUser": shop.user_id,
            "runAsGroup": shop.group_id,
            "runAsNonRoot": shop.user_id != 0,
            "fsGroup": shop.group_id,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(shop, claim, job)],
        "volumes": [
            {"name": "home", "persistentVolumeClaim": {"claimName": claim.name}},
            {"name": "secret", "secret": {"secretName": shop.secret_name, "defaultMode": 0o440}},
            {"name": "scratch", "emptyDir": {}},
        ],
        **shop.extra,
    }
    if node:
        spec["affinity"] = _on(node)
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": claim.namespace, "labels": LABELS},
        "spec": spec,
    }


def _container(shop: Workshop, claim: Claim, job: Job) -> dict[str, Any]:
    environment = {**shop.environment, "HOME": _SCRATCH, "TMPDIR": _SCRATCH}
    mount = {"name": "home", "mountPath": f"{shop.volumes_dir}/{claim.name}"}
    return {
        "name": CONTAINER,
        "image": shop.image,
        "command": ["notebooks-backup", "volume", *job.arguments],
        "env": [{"name": name, "value": value} for name, value in sorted(environment.items())],
        "resources": dict(shop.resources),
        "terminationMessagePolicy": "File",
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {**mount, "readOnly": not job.writes},
            {"name": "secret", "mountPath": shop.secrets_dir, "readOnly": True},
            {"name": "scratch", "mountPath": _SCRATCH},
        ],
    }


def _on(node: str) -> dict[str, Any]:
    term = {"key": "metadata.name", "operator": "In", "values": [node]}
    terms = {"nodeSelectorTerms": [{"matchFields": [term]}]}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}


@dataclass(frozen=True)
class Use:
    """Which running pods use a claim: on which node.

    Attributes:
        node: the node's name, empty if none uses it.
        is_used: whether any pod uses it.
    """

    node: str = ""
    is_used: bool = False


def uses_of(pods: list[dict[str, Any]]) -> dict[str, Use]:
    """Claim's name → its use, from the manifests of a namespace's pods."""
    found: dict[str, Use] = {}
    for pod in pods:
        if pod.get("status", {}).get("phase") in {"Succeeded", "Failed"}:
            continue
        node = pod["spec"].get("nodeName") or ""
        for volume in pod["spec"].get("volumes") or []:
            name = (volume.get("persistentVolumeClaim") or {}).get("claimName")
            if name and not (name in found and found[name].node):
                found[name] = Use(node, is_used=True)
    return found


def message_of(pod: Mapping[str, Any]) -> str:
    """What an ended worker left: its outcome as JSON, or why the pod failed; empty: it works."""
    status = pod.get("status") or {}
    if status.get("phase") not in {"Succeeded", "Failed"}:
        return ""
    for container in status.get("containerStatuses") or []:
        ended = (container.get("state") or {}).get("terminated") or {}
        if ended.get("message"):
            return str(ended["message"])
        if ended.get("reason"):
            return json.dumps(f"the worker ended without a word: {ended['reason']}")
    return json.dumps(f"the worker's pod failed: {status.get('reason') or 'for unknown reasons'}")
