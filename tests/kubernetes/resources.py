"""The kinds of objects that the stand-in serves, and what discovery says of them."""

from dataclasses import dataclass
from typing import Any

Document = dict[str, Any]

_ALL = ("pods", "services", "deployments", "statefulsets", "daemonsets", "jobs", "cronjobs")
VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


@dataclass(frozen=True)
class Resource:
    """One kind: ``group`` is empty for the core."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True
    short: tuple[str, ...] = ()
    subresources: tuple[str, ...] = ()

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def has_generation(self) -> bool:
        """Whether its objects count the changes of what is wanted of them."""
        return self.plural == "pods" or self.group not in ("", _RBAC, "storage.k8s.io")

    @property
    def root(self) -> str:
        return f"/apis/{self.api_version}" if self.group else f"/api/{self.version}"

    def describe(self) -> list[Document]:
        """This kind's entries in an APIResourceList."""
        entry: Document = {
            "name": self.plural,
            "singularName": self.kind.lower(),
            "namespaced": self.namespaced,
            "kind": self.kind,
            "verbs": list(VERBS),
        }
        if self.short:
            entry["shortNames"] = list(self.short)
        if self.plural in _ALL:
            entry["categories"] = ["all"]
        below = [
            {
                "name": f"{self.plural}/{part}",
                "singularName": "",
                "namespaced": self.namespaced,
                "kind": self.kind,
                "verbs": ["get", "patch", "update"],
            }
            for part in self.subresources
        ]
        return [entry, *below]


_RBAC = "rbac.authorization.k8s.io"
_NETWORKING = "networking.k8s.io"

RESOURCES = (
    Resource("", "v1", "namespaces", "Namespace", False, ("ns",), ("status",)),
    Resource("", "v1", "nodes", "Node", False, ("no",), ("status",)),
    Resource("", "v1", "pods", "Pod", True, ("po",), ("log", "status")),
    Resource("", "v1", "persistentvolumes", "PersistentVolume", False, ("pv",), ("status",)),
    Resource("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim", True, ("pvc",)),
    Resource("", "v1", "secrets", "Secret"),
    Resource("", "v1", "configmaps", "ConfigMap", True, ("cm",)),
    Resource("", "v1", "services", "Service", True, ("svc",), ("status",)),
    Resource("", "v1", "serviceaccounts", "ServiceAccount", True, ("sa",)),
    Resource("", "v1", "endpoints", "Endpoints", True, ("ep",)),
    Resource("", "v1", "events", "Event", True, ("ev",)),
    Resource("", "v1", "resourcequotas", "ResourceQuota", True, ("quota",)),
    Resource("apps", "v1", "deployments", "Deployment", True, ("deploy",), ("status",)),
    Resource("apps", "v1", "statefulsets", "StatefulSet", True, ("sts",), ("status",)),
    Resource("apps", "v1", "daemonsets", "DaemonSet", True, ("ds",), ("status",)),
    Resource("apps", "v1", "replicasets", "ReplicaSet", True, ("rs",), ("status",)),
    Resource("batch", "v1", "jobs", "Job", True, (), ("status",)),
    Resource("batch", "v1", "cronjobs", "CronJob", True, ("cj",), ("status",)),
    Resource("storage.k8s.io", "v1", "storageclasses", "StorageClass", False, ("sc",)),
    Resource(_NETWORKING, "v1", "networkpolicies", "NetworkPolicy", True, ("netpol",)),
    Resource(_NETWORKING, "v1", "ingresses", "Ingress", True, ("ing",)),
    Resource(_NETWORKING, "v1", "ingressclasses", "IngressClass", False),
    Resource("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget", True, ("pdb",)),
    Resource("scheduling.k8s.io", "v1", "priorityclasses", "PriorityClass", False, ("pc",)),
    Resource(_RBAC, "v1", "roles", "Role"),
    Resource(_RBAC, "v1", "rolebindings", "RoleBinding"),
    Resource(_RBAC, "v1", "clusterroles", "ClusterRole", False),
    Resource(_RBAC, "v1", "clusterrolebindings", "ClusterRoleBinding", False),
)

_BY_PATH = {(resource.root, resource.plural): resource for resource in RESOURCES}
BY_PLURAL = {resource.plural: resource for resource in RESOURCES}
BY_KIND = {(resource.api_version, resource.kind): resource for resource in RESOURCES}


def resource_at(root: str, plural: str) -> Resource | None:
    """The kind below ``/api/v1`` or ``/apis/GROUP/VERSION``."""
    return _BY_PATH.get((root, plural))


def resource_list(root: str) -> Document | None:
    """The APIResourceList of one group and version; None where there is none."""
    found = [resource for resource in RESOURCES if resource.root == root]
    if not found:
        return None
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": found[0].api_version,
        "resources": [entry for resource in found for entry in resource.describe()],
    }


def group_list() -> Document:
    groups = dict.fromkeys((r.group, r.version) for r in RESOURCES if r.group)
    return {
        "kind": "APIGroupList",
        "apiVersion": "v1",
        "groups": [_group(group, version) for group, version in groups],
    }


def _group(group: str, version: str) -> Document:
    served = {"groupVersion": f"{group}/{version}", "version": version}
    return {"name": group, "versions": [served], "preferredVersion": served}


def api_versions(address: str) -> Document:
    client = {"clientCIDR": "0.0.0.0/0", "serverAddress": address}
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": [client]}


def openapi_index() -> Document:
    """OpenAPI v3's table of contents."""
    roots = dict.fromkeys(resource.root for resource in RESOURCES)
    return {"paths": {r[1:]: {"serverRelativeURL": f"/openapi/v3{r}?hash=0"} for r in roots}}


def openapi(root: str) -> Document | None:
    """OpenAPI v3 of one group and version, as far as kubectl asks: who takes fieldValidation."""
    found = [resource for resource in RESOURCES if resource.root == root]
    if not found:
        return None
    paths = {}
    for resource in found:
        scope = "/namespaces/{namespace}" if resource.namespaced else ""
        paths[f"{root}{scope}/{resource.plural}/{{name}}"] = {"patch": _patch(resource)}
    return {"openapi": "3.0.0", "info": {"title": "Kubernetes", "version": "v1"}, "paths": paths}


def _patch(resource: Resource) -> Document:
    kind = {"group": resource.group, "version": resource.version, "kind": resource.kind}
    names = ("dryRun", "fieldManager", "fieldValidation", "force")
    text = {"type": "string", "uniqueItems": True}
    return {
        "parameters": [{"name": name, "in": "query", "schema": text} for name in names],
        "responses": {"200": {"description": "OK"}},
        "x-kubernetes-action": "patch",
        "x-kubernetes-group-version-kind": kind,
    }
