"""What kube-state-metrics v2 exposes about pods, claims and namespaces."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from math import inf
from typing import Literal

from accounting.simulation.exporters.labels import Labels
from accounting.simulation.exporters.series import Series, Span
from accounting.simulation.judges.truth import Claim, Resources, SimulatedContainer, SimulatedPod
from accounting.simulation.world.cluster import Cluster

PHASES = ("Pending", "Succeeded", "Failed", "Unknown", "Running")
FAMILIES = (
    "kube_pod_info",
    "kube_pod_created",
    "kube_pod_start_time",
    "kube_pod_completion_time",
    "kube_pod_status_phase",
    "kube_pod_annotations",
    "kube_pod_labels",
    "kube_pod_container_info",
    "kube_pod_container_resource_requests",
    "kube_pod_container_resource_limits",
    "kube_pod_init_container_info",
    "kube_pod_init_container_resource_requests",
    "kube_pod_init_container_resource_limits",
    "kube_pod_resource_request",
    "kube_pod_resource_limit",
    "kube_pod_spec_volumes_persistentvolumeclaims_info",
    "kube_persistentvolumeclaim_resource_requests_storage_bytes",
    "kube_namespace_created",
    "kube_namespace_status_phase",
    "kube_node_status_condition",
    "kube_pod_status_ready",
)
CLAIM_GRACE = 600.0
"""Seconds that a claim is listed before and after the pods that use it."""


def cluster_series(cluster: Cluster) -> Iterator[Series]:
    """Namespaces, and claims for as long as pods use them."""
    since = cluster.timetable.start
    for namespace in sorted({pod.namespace for pod in cluster.pods} | {cluster.namespace}):
        labels: Labels = (("namespace", namespace),)
        created = str(int(since) - 90 * 86400)
        yield Series.steady("kube_namespace_created", namespace, labels, since, value=created)
        for phase, value in (("Active", "1"), ("Terminating", "0")):
            labelled = (*labels, ("phase", phase))
            yield Series.steady(
                "kube_namespace_status_phase", namespace, labelled, since, value=value
            )
    yield from _nodes(cluster)
    users: dict[tuple[str, Claim], list[SimulatedPod]] = {}
    for pod in cluster.pods:
        for claim in pod.claims:
            users.setdefault((pod.namespace, claim), []).append(pod)
    for (namespace, claim), pods in users.items():
        labels = (("namespace", namespace), ("persistentvolumeclaim", claim.name))
        listed = _in_use(pods)
        if cluster.features.volumes:  # claims stay
            listed = [(listed[0][0], inf)]
        spans = tuple(Span(*span, str(claim.size)) for span in listed)
        yield Series(
            "kube_persistentvolumeclaim_resource_requests_storage_bytes", claim.name, labels, spans
        )


def _nodes(cluster: Cluster) -> Iterator[Series]:
    """Whether nodes are ready, where some may not be and kube-state-metrics may look at them."""
    times = cluster.timetable
    if times.loss is None or cluster.features.nodes_untold:
        return
    for node in cluster.shapes:
        spans = (Span(times.start, inf, _said(partial(times.is_ready, node))),)
        labels: Labels = (("node", node), ("condition", "Ready"), ("status", "true"))
        yield Series("kube_node_status_condition", node, labels, spans)


def _ready(cluster: Cluster, pod: SimulatedPod, own: Labels) -> Iterator[Series]:
    """Whether the pod is ready: as long as it runs, and its node is ready."""
    begin, times = pod.running_from, cluster.timetable
    if times.loss is None or not cluster.features.nodes_untold:
        return

    def ready(at: float) -> bool:
        is_running = begin is not None and begin <= at < _said_to_run_until(pod)
        return is_running and times.is_ready(pod.node, at)

    spans = (Span(pod.created, pod.listed_until, _said(ready)),)
    yield Series("kube_pod_status_ready", pod.uid, (*own, ("condition", "true")), spans)


def _said(is_so: Callable[[float], bool]) -> Callable[[float], str]:
    return lambda at: str(int(is_so(at)))


def _said_to_run_until(pod: SimulatedPod) -> float:
    return pod.listed_until if pod.ending == "lost" else pod.run_until


def _in_use(pods: Iterable[SimulatedPod]) -> list[tuple[float, float]]:
    """The spans in which any of the pods is listed, with a margin, merged."""
    merged: list[tuple[float, float]] = []
    for pod in sorted(pods, key=lambda pod: pod.created):
        since, until = pod.created - CLAIM_GRACE, pod.listed_until + CLAIM_GRACE
        if merged and since <= merged[-1][1]:
            since, until = merged[-1][0], max(merged.pop()[1], until)
        merged.append((since, until))
    return merged


def pod_series(cluster: Cluster, pod: SimulatedPod) -> Iterator[Series]:
    """Every series of a pod over the time that the API server lists it."""
    uid = "" if cluster.features.uid_dropped else pod.uid
    own: Labels = (("namespace", pod.namespace), ("pod", pod.name), ("uid", uid))
    listed = (float(pod.created), pod.listed_until)
    yield Series.steady("kube_pod_created", pod.uid, own, *listed, value=str(pod.created))
    if pod.started is not None:
        started = str(pod.started)
        yield Series.steady(
            "kube_pod_start_time", pod.uid, own, pod.started, listed[1], value=started
        )
    yield from _info(pod, own)
    yield from _completion(pod, own)
    yield from _phases(pod, own)
    yield from _ready(cluster, pod, own)
    if not cluster.features.allowlist_missing:
        labels = (*own, *_annotations(pod))
        yield Series.steady("kube_pod_annotations", pod.uid, labels, *listed)
    yield Series.steady("kube_pod_labels", pod.uid, (*own, *_pod_labels(pod)), *listed)
    for claim in pod.claims:
        volume = (
            ("volume", "home"),
            ("persistentvolumeclaim", claim.name),
            ("ephemeral", "false"),
        )
        family = "kube_pod_spec_volumes_persistentvolumeclaims_info"
        yield Series.steady(family, pod.uid, (*own, *volume), *listed)
    for box in pod.containers:
        if box.part == "container":
            yield from _container_info(pod, box, own, cluster.shape_of(pod).runtime)
        else:
            policy = "Always" if box.part == "sidecar" else ""
            labels = (*own, ("container", box.name), ("restart_policy", policy))
            yield Series.steady("kube_pod_init_container_info", pod.uid, labels, *listed)
        yield from _resources(pod, box, own)
    if cluster.features.pod_resources:
        yield from _scheduled(pod)


def _info(pod: SimulatedPod, own: Labels) -> Iterator[Series]:
    """Two series where the pod waited for a node: its `node` label is empty until then."""
    more: Labels = (
        ("created_by_kind", ""),
        ("created_by_name", ""),
        ("priority_class", ""),
        ("host_network", "false"),
    )
    for since, until, node in _placed(pod):
        address = "10.0.0.10" if node else ""
        labels = (*own, ("host_ip", address), ("pod_ip", ""), ("node", node), *more)
        yield Series.steady("kube_pod_info", pod.uid, labels, since, until)


def _placed(pod: SimulatedPod) -> list[tuple[float, float, str]]:
    """(since, until, node): the node is empty before the scheduler has chosen it."""
    placed = inf if pod.started is None else pod.started - 1
    spans = [
        (float(pod.created), min(placed, pod.listed_until), ""),
        (max(placed, pod.created), pod.listed_until, pod.node),
    ]
    return [span for span in spans if span[0] < span[1]]


def _completion(pod: SimulatedPod, own: Labels) -> Iterator[Series]:
    """The last finish of any container: a sidecar that completed gives one to a Running pod."""
    spans = []
    whole = inf if pod.completion_time is None else pod.run_until
    for box in pod.containers:
        if box.finished is not None:
            until = min(whole, pod.run_until if pod.ending == "evicted" else pod.listed_until)
            spans.append(Span(box.finished, until, str(int(box.finished))))
    if pod.completion_time is not None:
        spans.append(Span(whole, pod.listed_until, str(pod.completion_time)))
    if spans:
        yield Series("kube_pod_completion_time", pod.uid, own, tuple(spans))


def _phases(pod: SimulatedPod, own: Labels) -> Iterator[Series]:
    """Five series with 0 or 1."""
    begin = inf if pod.running_from is None else pod.running_from
    final = {"completed": "Succeeded", "evicted": "Failed"}.get(pod.ending, "")
    life = [
        ("Pending", float(pod.created), min(begin, pod.listed_until)),
        ("Running", begin, min(_said_to_run_until(pod), pod.listed_until)),
        (final, _said_to_run_until(pod), pod.listed_until),
    ]
    for phase in PHASES:
        spans = tuple(
            Span(since, until, "1" if now == phase else "0")
            for now, since, until in life
            if since < until
        )
        yield Series("kube_pod_status_phase", pod.uid, (*own, ("phase", phase)), spans)


def _annotations(pod: SimulatedPod) -> Iterator[tuple[str, str]]:
    """The allow-listed annotations.

    Two annotation keys that differ in `/` and `_` only become one label name; kube-state-metrics
    then numbers both in the order of the keys, and `/` sorts before `_`.
    """
    if not pod.annotated:
        return
    if pod.primary_group:
        yield "annotation_egi_eu_primary_group", pod.primary_group
    if pod.component == "singleuser-server":
        yield "annotation_egi_eu_flavor", pod.flavor
    user = "annotation_hub_jupyter_org_username"
    if pod.conflicting_annotations:
        yield f"{user}_conflict1", pod.user
        yield f"{user}_conflict2", "written-by-another-tool"
    else:
        yield user, pod.user


def _pod_labels(pod: SimulatedPod) -> Labels:
    return (
        ("label_app", "jupyterhub"),
        ("label_component", pod.component),
        ("label_release", "notebooks"),
    )


def _container_info(
    pod: SimulatedPod, box: SimulatedContainer, own: Labels, runtime: str
) -> Iterator[Series]:
    """One series per container id; without an id while the image is pulled."""
    image: Labels = (("container", box.name), ("image_spec", box.image), ("image", box.image))
    forgotten = pod.run_until if pod.ending == "evicted" else pod.listed_until
    if pod.started is not None:
        waiting = min(pod.running_from or inf, pod.listed_until)
        labels = (*own, *image, ("image_id", ""), ("container_id", ""))
        yield Series.steady("kube_pod_container_info", pod.uid, labels, pod.started, waiting)
    following = [run.since for run in box.incarnations[1:]] + [forgotten]
    for run, until in zip(box.incarnations, following, strict=False):
        labels = (
            *own,
            *image,
            ("image_id", f"{box.image.rsplit(':', 1)[0]}@sha256:{'ab' * 32}"),
            ("container_id", f"{runtime}://{run.container_id}"),
        )
        yield Series.steady("kube_pod_container_info", pod.uid, labels, run.since, until)


def _resources(pod: SimulatedPod, box: SimulatedContainer, own: Labels) -> Iterator[Series]:
    """Requests and limits; one set of series before the pod has a node, and one after.

    The requests of a pod that has its own as a whole are its containers' no more.
    """
    for kind, given in (("requests", box.requests), ("limits", box.limits)):
        own_alone = pod.whole is None
        resources = given if own_alone else Resources(None, None, given.extended)
        for resource, unit, value in _amounts(resources):
            for since, until, node in _placed(pod):
                spans = _sized(pod, box, resource, (since, until), value)
                labels: Labels = (
                    *own,
                    ("container", box.name),
                    ("node", node),
                    ("resource", resource),
                    ("unit", unit),
                )
                among = "" if box.part == "container" else "init_"
                family = f"kube_pod_{among}container_resource_{kind}"
                yield Series(family, pod.uid, labels, spans)


def _scheduled(pod: SimulatedPod) -> Iterator[Series]:
    """What kube-scheduler reserves for the pod, and its limits, by name, once it is placed."""
    *_, (since, until, node) = _placed(pod)
    at = pod.resized_at
    for name, unit in (("cpu", "core"), ("memory", "byte")):
        kind: Literal["cpu", "memory"] = "cpu" if name == "cpu" else "memory"
        requests = [(since, min(at or until, until), pod.requested(kind))]
        if at is not None:
            requests.append((max(since, at), until, pod.requested_later(kind)))
        limits = [(since, until, pod.requested(kind, limits=True))]
        labels: Labels = (
            ("namespace", pod.namespace),
            ("pod", pod.name),
            ("node", node),
            ("scheduler", "default-scheduler"),
            ("priority", "0"),
            ("resource", name),
            ("unit", unit),
        )
        for what, amounts in (("request", requests), ("limit", limits)):
            spans = tuple(
                Span(a, b, f"{value:g}" if name == "cpu" else str(int(value)))
                for a, b, value in amounts
                if a < b and value
            )
            if node and spans:
                yield Series(f"kube_pod_resource_{what}", pod.uid, labels, spans)


def _sized(
    pod: SimulatedPod,
    box: SimulatedContainer,
    resource: str,
    span: tuple[float, float],
    value: str,
) -> tuple[Span, ...]:
    """One span, or two where the pod is resized in place meanwhile."""
    since, until = span
    at = pod.resized_at
    if at is None or box is not pod.containers[0] or resource not in {"cpu", "memory"}:
        return (Span(since, until, value),)
    doubled = f"{2 * float(value):g}" if resource == "cpu" else str(2 * int(value))
    spans = (Span(since, min(at, until), value), Span(max(since, at), until, doubled))
    return tuple(span for span in spans if span.since < span.until)


def _amounts(resources: Resources) -> Iterator[tuple[str, str, str]]:
    if resources.cpu is not None:
        yield "cpu", "core", f"{resources.cpu:g}"
    if resources.memory is not None:
        yield "memory", "byte", str(resources.memory)
    for name, count in resources.extended:
        yield name, "integer", str(count)
