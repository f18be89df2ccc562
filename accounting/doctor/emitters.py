"""What tells each node's CPU, and what that lacks (M3, M4)."""

from collections import defaultdict
from collections.abc import Iterable, Iterator

from accounting.doctor.finding import Finding, State
from accounting.measure.promql import kubelet
from accounting.measure.promql.kubelet import CPU, POD_CPU
from accounting.measure.promql.scope import Scope
from accounting.measure.source.prometheus import Source

_SHOWN = 3
_RECENT = "[1h]"
# A scrape's labels that tell the node, the best one first.
_NODE = ("node", "kubernetes_node", "k8s_node_name", "instance")

CADVISOR = "cAdvisor"
CONTAINERS = "cAdvisor, containers only"
CRI = "CRI"
RESOURCE = "resource endpoint"
OTEL = "OpenTelemetry"
LACKS = {
    CONTAINERS: "what a container used between its last scrape and its restart",
    CRI: "what a container used between its last scrape and its restart, and of containerd parts"
    " of seconds and network",
    RESOURCE: "network",
    OTEL: "network and memory peaks",
}


def per_node(source: Source, scope: Scope, now: float) -> Iterator[Finding]:
    """A finding about who tells CPU on which nodes; none where nothing runs."""
    found: dict[str, set[str]] = defaultdict(set)
    for emitter, selector in dict.fromkeys(
        told for form in scope.spellings_of_usage for told in _selectors(form)
    ):
        by = ", ".join(_NODE)
        query = f"group by ({by}) (last_over_time({selector}{_RECENT}))"
        for labels, _ in source.vector(query, now):
            node = next((labels[name] for name in _NODE if labels.get(name)), "unknown node")
            found[node].add(emitter)
    if not found:
        return
    for emitters in found.values():
        if CADVISOR in emitters:  # it tells of containers, too
            emitters.discard(CONTAINERS)
    nodes_of: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for name in sorted(found):
        nodes_of[tuple(sorted(found[name]))].append(name)
    said = "; ".join(_told(names, nodes) for names, nodes in nodes_of.items())
    yield Finding("CPU by node", State.OK, said)


def _selectors(scope: Scope) -> Iterator[tuple[str, str]]:
    container = scope.usage("container")
    boxes = f'{container}!=""'
    yield CADVISOR, kubelet.pod_cgroup(scope, 'id=~"/.*"')
    yield CONTAINERS, CPU + scope.usage_selector(boxes, 'id=~"/.*"')
    yield CRI, CPU + scope.usage_selector(boxes, 'id=~"([^/].*)?[0-9a-f]{64}.*"')
    yield RESOURCE, POD_CPU + scope.usage_selector()
    yield OTEL, kubelet.otel_pods(scope)


def _told(emitters: Iterable[str], nodes: list[str]) -> str:
    """Such as: resource endpoint (lacks network) on 2 nodes: node-1, node-2."""
    parts = [f"{name} (lacks {LACKS[name]})" if name in LACKS else name for name in emitters]
    shown = ", ".join(nodes[:_SHOWN]) + (", …" if len(nodes) > _SHOWN else "")
    many = f"{len(nodes)} nodes" if len(nodes) > 1 else "1 node"
    return f"{' and '.join(parts)} on {many}: {shown}"
