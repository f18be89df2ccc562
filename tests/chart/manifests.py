"""What every manifest must be: strictly of Kubernetes' schemas, and confined."""

import functools
from typing import Any

import kubernetes_validate
from kubernetes_validate import utils

from tests.chart.helm import Manifest

VERSIONS = [f"1.{minor}" for minor in range(28, 38)]

# They come with operators, not with Kubernetes; their schemas are not in kubernetes-validate.
FOREIGN = {
    "Certificate": "cert-manager.io/v1",
    "HTTPRoute": "gateway.networking.k8s.io/v1",
    "PrometheusRule": "monitoring.coreos.com/v1",
    "ServiceMonitor": "monitoring.coreos.com/v1",
}

# It reads its schemas anew, 30 ms each, for every manifest.
utils.schema_contents = functools.cache(utils.schema_contents)


def faults(manifest: Manifest, version: str) -> list[str]:
    """What a Kubernetes of this version would not take, or would drop."""
    if manifest["kind"] in FOREIGN:
        same = manifest["apiVersion"] == FOREIGN[manifest["kind"]]
        return [] if same else [f"{manifest['kind']} is of {FOREIGN[manifest['kind']]}"]
    try:
        kubernetes_validate.validate(manifest, version, strict=True)
    except kubernetes_validate.ValidationError as exc:
        where = ".".join(str(part) for part in exc.path)
        return [f"{manifest['kind']} {manifest['metadata']['name']}: {where}: {exc.message}"]
    return []


def pods(manifests: list[Manifest]) -> dict[str, Manifest]:
    """The pods' specs, by kind and name of what makes them."""
    found = {}
    for manifest in manifests:
        at: Any = manifest
        for step in _WAYS.get(manifest["kind"], ("nothing",)):
            at = at.get(step, {})
        if at:
            found[f"{manifest['kind']} {manifest['metadata']['name']}"] = at
    return found


_WAYS = {
    "Pod": ("spec",),
    "Job": ("spec", "template", "spec"),
    "CronJob": ("spec", "jobTemplate", "spec", "template", "spec"),
    "Deployment": ("spec", "template", "spec"),
    "StatefulSet": ("spec", "template", "spec"),
    "DaemonSet": ("spec", "template", "spec"),
}


_VOLUMES = {"configMap", "emptyDir", "projected", "secret", "persistentVolumeClaim", "csi"}


def unconfined(pod: Manifest) -> list[str]:
    """What keeps a pod out of a namespace with Pod Security "restricted", and what we ask beside.

    https://kubernetes.io/docs/concepts/security/pod-security-standards/
    """
    context = pod.get("securityContext", {})
    found = [f"{key} is set" for key in ("hostNetwork", "hostPID", "hostIPC") if pod.get(key)]
    if context.get("runAsNonRoot") is not True or context.get("runAsUser") == 0:
        found.append("may run as root")
    if context.get("seccompProfile", {}).get("type") not in {"RuntimeDefault", "Localhost"}:
        found.append("has no seccomp profile")
    for volume in pod.get("volumes", []):
        found += [f"volume of kind {kind}" for kind in set(volume) - {"name"} - _VOLUMES]
    for container in [*pod.get("initContainers", []), *pod["containers"]]:
        found += [f"{container['name']}: {fault}" for fault in _unconfined(container)]
    return found


def _unconfined(container: Manifest) -> list[str]:
    context = container.get("securityContext", {})
    found = []
    if context.get("allowPrivilegeEscalation") is not False:
        found.append("may gain privileges")
    if context.get("capabilities") != {"drop": ["ALL"]}:
        found.append("keeps capabilities")
    if context.get("privileged") or context.get("runAsUser") == 0:
        found.append("is privileged")
    if context.get("readOnlyRootFilesystem") is not True:
        found.append("may write to its root")
    if "memory" not in container.get("resources", {}).get("limits", {}):
        found.append("has no memory limit")
    return found


def unrestricted(pod: Manifest) -> list[str]:
    """What keeps a pod out of a namespace with Pod Security "restricted", and nothing else.

    What a container does not say, it has from its pod. Unlike `unconfined`, which asks for more.
    """
    shared = pod.get("securityContext", {})
    found = [f"{key} is set" for key in ("hostNetwork", "hostPID", "hostIPC") if pod.get(key)]
    for volume in pod.get("volumes", []):
        found += [f"volume of kind {kind}" for kind in set(volume) - {"name"} - _VOLUMES]
    for container in [*pod.get("initContainers", []), *pod["containers"]]:
        context = {**shared, **(container.get("securityContext") or {})}
        faults = []
        if context.get("runAsNonRoot") is not True or context.get("runAsUser") == 0:
            faults.append("may run as root")
        if context.get("seccompProfile", {}).get("type") not in {"RuntimeDefault", "Localhost"}:
            faults.append("has no seccomp profile")
        if context.get("allowPrivilegeEscalation") is not False:
            faults.append("may gain privileges")
        if "ALL" not in context.get("capabilities", {}).get("drop", []):
            faults.append("keeps capabilities")
        found += [f"{container['name']}: {fault}" for fault in faults]
    return found
