"""What kwok does in the kubelets' stead: the lives of nodes and pods, and what pods use."""

from collections.abc import Mapping
from typing import Any

Document = Mapping[str, Any]
_VERSION = {"apiVersion": "kwok.x-k8s.io/v1alpha1"}
_ALIVE = {"key": ".metadata.deletionTimestamp", "operator": "DoesNotExist"}

# Quoted as YAML in Go's templates; `Now`, `NodeConditions` and `PodIPsWith` are kwok's functions.
_NODE = """
{{ $now := Now }}
conditions:
{{ range NodeConditions }}
- {type: {{ .type | Quote }}, status: {{ .status | Quote }}, reason: {{ .reason | Quote }},
   message: {{ .message | Quote }}, lastHeartbeatTime: {{ $now | Quote }},
   lastTransitionTime: {{ $now | Quote }}}
{{ end }}
addresses:
- {type: InternalIP, address: {{ NodeIP | Quote }}}
- {type: Hostname, address: {{ NodeName | Quote }}}
allocatable: {cpu: "1000", memory: 4Ti, pods: "1000", ephemeral-storage: 1Ti}
capacity: {cpu: "1000", memory: 4Ti, pods: "1000", ephemeral-storage: 1Ti}
phase: Running
"""
_RUNNING = """
{{ $now := Now }}
{{ $uid := .metadata.uid }}
phase: Running
startTime: {{ $now | Quote }}
conditions:
- {type: Initialized, status: "True", lastTransitionTime: {{ $now | Quote }}}
- {type: Ready, status: "True", lastTransitionTime: {{ $now | Quote }}}
- {type: ContainersReady, status: "True", lastTransitionTime: {{ $now | Quote }}}
containerStatuses:
{{ range .spec.containers }}
- name: {{ .name | Quote }}
  image: {{ .image | Quote }}
  imageID: {{ .image | Quote }}
  containerID: {{ printf "containerd://%s-%s" $uid .name | Quote }}
  ready: true
  started: true
  restartCount: 0
  resources: {{ .resources | toJson }}
  state: {running: {startedAt: {{ $now | Quote }}}}
{{ end }}
{{ with PodIPsWith .spec.nodeName false $uid .metadata.name .metadata.namespace }}
podIP: {{ index . 0 | Quote }}
podIPs:
{{ range . }}
- ip: {{ . | Quote }}
{{ end }}
{{ end }}
hostIP: "127.0.0.1"
hostIPs: [{ip: "127.0.0.1"}]
"""
_RESIZED = """
containerStatuses:
{{ range .spec.containers }}
- name: {{ .name | Quote }}
  resources: {{ .resources | toJson }}
{{ end }}
"""
_COMPLETE = """
{{ $now := Now }}
phase: Succeeded
containerStatuses:
{{ range $index, $box := .spec.containers }}
- name: {{ $box.name | Quote }}
  image: {{ $box.image | Quote }}
  imageID: {{ $box.image | Quote }}
  ready: false
  started: false
  restartCount: 0
  state:
    terminated:
      {exitCode: 0, reason: Completed,
       startedAt: {{ $now | Quote }}, finishedAt: {{ $now | Quote }}}
{{ end }}
"""


def stages() -> list[Document]:
    """Nodes get ready; pods run, complete if a Job wants it, and go when they were deleted.

    Containers say which resources they have: without that, the API server lets nobody resize them.
    """
    asked, held = ".spec.containers", ".status.containerStatuses"
    in_size = f"([{asked}[].resources] == [{held}[].resources])"
    ready = '.status.conditions.[] | select( .type == "Ready" ) | .status'
    owners = ".metadata.ownerReferences.[].kind"
    return [
        _stage("node-ready", "Node", [_not(ready, "True")], {"statusTemplate": _NODE}),
        _stage(
            "pod-running",
            "Pod",
            [_ALIVE, _one_of(".status.phase", "Pending")],
            {"statusTemplate": _RUNNING, "event": _event("Started", "Started the containers")},
        ),
        _stage(
            "pod-resized",
            "Pod",
            [_ALIVE, _one_of(".status.phase", "Running"), _one_of(in_size, "false")],
            {"statusTemplate": _RESIZED},
        ),
        _stage(
            "pod-complete",
            "Pod",
            [_ALIVE, _one_of(".status.phase", "Running"), _one_of(owners, "Job")],
            {"statusTemplate": _COMPLETE},
        ),
        _stage(
            "pod-deleted",
            "Pod",
            [{"key": ".metadata.deletionTimestamp", "operator": "Exists"}],
            {"delete": True, "event": _event("Killing", "Stopping the containers")},
        ),
    ]


def usage() -> list[Document]:
    """Each pod's usage, with the labels that cAdvisor gives to a pod's cgroup.

    A pod says what it uses in its annotations ``kwok.x-k8s.io/usage-cpu`` and ``…-memory``.
    """
    labels = {
        "namespace": "pod.metadata.namespace",
        "pod": "pod.metadata.name",
        "id": '"/kubepods/burstable/pod" + string(pod.metadata.uid)',
    }
    values = {
        "container_cpu_usage_seconds_total": ("counter", 'pod.CumulativeUsage("cpu")'),
        "container_memory_working_set_bytes": ("gauge", 'pod.Usage("memory")'),
    }
    named = [{"name": name, "value": value} for name, value in labels.items()]
    metrics = {
        "path": "/metrics/nodes/{nodeName}/metrics/cadvisor",
        "metrics": [
            {"name": name, "dimension": "pod", "kind": kind, "labels": named, "value": value}
            for name, (kind, value) in values.items()
        ],
    }
    used = {
        resource: {
            "expression": f'"kwok.x-k8s.io/usage-{resource}" in pod.metadata.annotations ? '
            f'Quantity(pod.metadata.annotations["kwok.x-k8s.io/usage-{resource}"]) : '
            f'Quantity("{default}")'
        }
        for resource, default in (("cpu", "250m"), ("memory", "64Mi"))
    }
    return [
        _document("Metric", "cadvisor", metrics),
        _document("ClusterResourceUsage", "annotated", {"usages": [{"usage": used}]}),
    ]


def _document(kind: str, name: str, spec: Document) -> Document:
    return {**_VERSION, "kind": kind, "metadata": {"name": name}, "spec": spec}


def _stage(name: str, kind: str, conditions: list[Document], then: Document) -> Document:
    spec = {
        "resourceRef": {"apiGroup": "v1", "kind": kind},
        "selector": {"matchExpressions": conditions},
        "next": then,
    }
    return _document("Stage", name, spec)


def _event(reason: str, message: str) -> Document:
    return {"type": "Normal", "reason": reason, "message": message}


def _one_of(key: str, *values: str) -> Document:
    return {"key": key, "operator": "In", "values": list(values)}


def _not(key: str, *values: str) -> Document:
    return {"key": key, "operator": "NotIn", "values": list(values)}
