"""The kinds that other projects' operators bring; objects of them may hold anything."""

from typing import Any

CRDS = {
    "servicemonitors.monitoring.coreos.com": "v1",
    "prometheusrules.monitoring.coreos.com": "v1",
    "certificates.cert-manager.io": "v1",
    "httproutes.gateway.networking.k8s.io": "v1",
}
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
KINDS = {
    "servicemonitors": "ServiceMonitor",
    "prometheusrules": "PrometheusRule",
    "certificates": "Certificate",
    "httproutes": "HTTPRoute",
}


def definition(name: str, version: str) -> dict[str, Any]:
    """A kind whose objects may hold anything."""
    plural, _, group = name.partition(".")
    kind = KINDS[plural]
    whole = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    served = {"name": version, "served": True, "storage": True}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": name,
            "annotations": {"api-approved.kubernetes.io": "unapproved, for tests"},
        },
        "spec": {
            "group": group,
            "names": {"kind": kind, "plural": plural, "singular": kind.lower()},
            "scope": "Namespaced",
            "versions": [{**served, "schema": {"openAPIV3Schema": whole}}],
        },
    }
