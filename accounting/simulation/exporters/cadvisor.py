"""What a node's endpoints expose about the usage of its pods: cAdvisor's and their successors'."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from math import inf

from accounting.simulation.exporters.cgroups import alias, container_path, pod_path, sandbox_label
from accounting.simulation.exporters.dips import dipped
from accounting.simulation.exporters.labels import Labels
from accounting.simulation.exporters.series import Series, Span
from accounting.simulation.exporters.spikes import spiked
from accounting.simulation.judges.truth import Incarnation, SimulatedContainer, SimulatedPod
from accounting.simulation.world.cluster import Cluster
from accounting.simulation.world.features import NodeShape

CPU = "container_cpu_usage_seconds_total"
WORKING_SET = "container_memory_working_set_bytes"
MAX_USAGE = "container_memory_max_usage_bytes"
RECEIVED = "container_network_receive_bytes_total"
SENT = "container_network_transmit_bytes_total"
POD_CPU = "pod_cpu_usage_seconds_total"
OTEL_POD_CPU = "k8s_pod_cpu_time_seconds_total"
OTEL_CONTAINER_CPU = "container_cpu_time_seconds_total"
FAMILIES = (
    CPU,
    WORKING_SET,
    MAX_USAGE,
    RECEIVED,
    SENT,
    POD_CPU,
    OTEL_POD_CPU,
    OTEL_CONTAINER_CPU,
)

Number = Callable[[float], float]
_BYTES_A_CORE = 1e9
"""No network has more, whatever its pod's size."""


def node_series(cluster: Cluster, node: str) -> Iterator[Series]:
    """The node's own cgroups, which belong to no pod; none where `id` is dropped."""
    if cluster.features.id_dropped:
        return
    since, until = cluster.timetable.start, cluster.timetable.end
    for path, cores in (
        ("/", 1.7),
        ("/kubepods.slice", 1.1),
        ("/system.slice/kubelet.service", 0.1),
    ):
        labels = (("container", ""), ("cpu", "total"), ("id", path), ("image", ""), ("name", ""))
        empty = (("namespace", ""), ("pod", ""))
        # mypy cannot infer the type of a default that binds the loop's value.
        span = Span(since, until, _cpu_text(lambda t, c=cores: (t - since) * c))  # type: ignore[misc]
        yield Series(CPU, node, (*labels, *empty), (span,))


def pod_series(cluster: Cluster, pod: SimulatedPod) -> Iterator[Series]:
    """Every series of a pod, from whatever tells its node's usage, while that does."""
    maker = _PodSeries(cluster, pod)
    for endpoints, since, until in parts(cluster, maker.shape):
        for endpoint in endpoints.split("+"):
            for series in maker.of(endpoint):
                spans = tuple(_clipped(series.spans, since, until))
                if spans:
                    most = _BYTES_A_CORE if series.family in {RECEIVED, SENT} else 1.0
                    dipping = dipped(cluster, pod, replace(series, spans=spans), most)
                    yield spiked(cluster, pod, dipping)


def parts(cluster: Cluster, shape: NodeShape) -> Iterator[tuple[str, float, float]]:
    """(endpoints, since, until): what tells a node's usage when, Unix seconds."""
    times, count = cluster.timetable, len(shape.metrics)
    cuts = [times.start + (times.end - times.start) * i / count for i in range(1, count)]
    yield from zip(shape.metrics, [-inf, *cuts], [*cuts, inf], strict=True)


def _clipped(spans: Iterable[Span], since: float, until: float) -> Iterator[Span]:
    for span in spans:
        begin, end = max(span.since, since), min(span.until, until)
        if begin < end:
            yield Span(begin, end, span.reading)


class _PodSeries:
    def __init__(self, cluster: Cluster, pod: SimulatedPod) -> None:
        self.shape: NodeShape = cluster.shape_of(pod)
        self._pod = pod
        self._id_dropped = cluster.features.id_dropped
        self._pod_level_dropped = cluster.features.pod_level_dropped

    def of(self, endpoint: str) -> Iterator[Series]:
        """What one endpoint tells of the pod."""
        if endpoint == "cadvisor":
            yield from self.cadvisor(with_pod_level=not self._pod_level_dropped)
        elif endpoint == "containers":
            yield from self.cadvisor(with_pod_level=False)
        elif endpoint == "cri":
            yield from self.runtime_stats()
        elif endpoint == "resource":
            yield from self.resource_endpoint()
        else:
            yield from self.opentelemetry()

    def cadvisor(self, *, with_pod_level: bool) -> Iterator[Series]:
        """The pod's own cgroup's, its sandbox's with the network, its containers'."""
        if with_pod_level:
            yield from self.pod_level()
        yield from self.container_level(self._pod.sandbox, sandbox_label(self.shape))
        yield from self.network()
        for box in self._pod.containers:
            yield from self.container_level(box, box.name)

    def runtime_stats(self) -> Iterator[Series]:
        """Bare container ids, no pod level; containerd's in whole seconds, without a network."""
        pod, is_crio = self._pod, self.shape.runtime == "cri-o"
        boxes = (*pod.containers, pod.sandbox) if is_crio else pod.containers
        for box in boxes:
            for run in box.incarnations:
                used = _since((box,), run.since)
                image: Labels = (("image", box.image),) if is_crio else ()
                labels = (*self._place(box.name), ("id", run.container_id), *image)
                text = _cpu_text(used) if is_crio else _whole_text(used)
                yield Series(CPU, pod.node, labels, (Span(run.since, run.until, text),))
                memory = Span(run.since, run.until, _memory_text(box.working_set_at))
                yield Series(WORKING_SET, pod.node, labels, (memory,))
        if is_crio:
            for epoch in pod.epochs:
                labels = (*self._place("POD"), ("id", epoch.container_id), ("interface", "eth0"))
                yield from self._traffic(epoch, labels)

    def resource_endpoint(self) -> Iterator[Series]:
        """Pods and containers by name: a restart is a counter that falls."""
        pod = self._pod
        yield Series(POD_CPU, pod.node, self._place(), self._pod_spans())
        for box in pod.containers:
            yield Series(CPU, pod.node, self._place(box.name), _restarting(box))

    def opentelemetry(self) -> Iterator[Series]:
        """The kubelet receiver's names."""
        pod = self._pod
        labels: Labels = (
            ("k8s_namespace_name", pod.namespace),
            ("k8s_pod_name", pod.name),
            ("k8s_pod_uid", pod.uid),
        )
        yield Series(OTEL_POD_CPU, pod.node, labels, self._pod_spans())
        for box in pod.containers:
            named = (*labels, ("k8s_container_name", box.name))
            yield Series(OTEL_CONTAINER_CPU, pod.node, named, _restarting(box))

    def _pod_spans(self) -> tuple[Span, ...]:
        boxes = (*self._pod.containers, self._pod.sandbox)
        return tuple(
            Span(e.since, e.until, _cpu_text(_since(boxes, e.since))) for e in self._pod.epochs
        )

    def _place(self, container: str = "") -> Labels:
        place: Labels = (("namespace", self._pod.namespace), ("pod", self._pod.name))
        return (*place, ("container", container)) if container else place

    def pod_level(self) -> Iterator[Series]:
        pod = self._pod
        labels = self._labels("", pod_path(pod, self.shape), "", "")
        boxes = (*pod.containers, pod.sandbox)
        cpu = list(self._pod_spans())
        memory = [Span(e.since, e.until, _memory_text(pod.working_set_at)) for e in pod.epochs]
        peak = sum(box.memory_floor + box.memory_swing for box in boxes)
        yield from self._figures(labels, cpu, memory, peak)

    def container_level(self, box: SimulatedContainer, label: str) -> Iterator[Series]:
        for attempt, run in enumerate(box.incarnations):
            labels = self._container_labels(box, label, attempt, run)
            cpu = [Span(run.since, run.until, _cpu_text(_since((box,), run.since)))]
            memory = [Span(run.since, run.until, _memory_text(box.working_set_at))]
            yield from self._figures(labels, cpu, memory, box.memory_floor + box.memory_swing)

    def network(self) -> Iterator[Series]:
        pod = self._pod
        for attempt, epoch in enumerate(pod.epochs):
            labels = self._container_labels(
                pod.sandbox, sandbox_label(self.shape), attempt, epoch, (("interface", "eth0"),)
            )
            yield from self._traffic(epoch, labels)

    def _traffic(self, epoch: Incarnation, labels: Labels) -> Iterator[Series]:
        pod = self._pod
        for family, rate in ((RECEIVED, pod.received_rate), (SENT, pod.sent_rate)):
            span = Span(epoch.since, epoch.until, _bytes_text(epoch.since, rate))
            yield Series(family, pod.node, labels, (span,))

    def _figures(
        self, labels: Labels, cpu: list[Span], memory: list[Span], peak: int
    ) -> Iterator[Series]:
        node = self._pod.node
        yield Series(CPU, node, (*labels, ("cpu", "total")), tuple(cpu))
        yield Series(WORKING_SET, node, labels, tuple(memory))
        if self.shape.cgroup_version == 1:
            spans = tuple(Span(span.since, span.until, str(peak)) for span in memory)
            yield Series(MAX_USAGE, node, labels, spans)

    def _container_labels(
        self,
        box: SimulatedContainer,
        label: str,
        attempt: int,
        run: Incarnation,
        more: Labels = (),
    ) -> Labels:
        path = container_path(self._pod, self.shape, run.container_id)
        name = alias(self._pod, self.shape, box.name, run.container_id, attempt)
        nameless = box is self._pod.sandbox and self.shape.runtime == "cri-o"
        image = "" if nameless else box.image  # cri-o gives its sandbox no image
        return (*self._labels(label, path, image, name), *more)

    def _labels(self, container: str, path: str, image: str, name: str) -> Labels:
        labels: Labels = (
            ("container", container),
            ("id", path),
            ("image", image),
            ("name", name),
            ("namespace", self._pod.namespace),
            ("pod", self._pod.name),
        )
        return tuple(p for p in labels if p[0] != "id") if self._id_dropped else labels


def _since(boxes: tuple[SimulatedContainer, ...], begin: float) -> Number:
    """Core-seconds of the boxes since `begin`, with each run's start reckoned once."""
    runs = [
        (box.load, box.load.total(max(begin, run.since)), run.since, run.until)
        for box in boxes
        for run in box.incarnations
        if run.until > begin
    ]

    def used(instant: float) -> float:
        return sum(
            load.total(min(instant, until)) - at_start
            for load, at_start, since, until in runs
            if since < instant
        )

    return used


def _restarting(box: SimulatedContainer) -> tuple[Span, ...]:
    """A container by its name: one series for all its runs, which starts anew with each."""
    return tuple(
        Span(run.since, run.until, _cpu_text(_since((box,), run.since))) for run in box.incarnations
    )


def _whole_text(number: Number) -> Callable[[float], str]:
    return lambda instant: str(int(number(instant)))


def _cpu_text(number: Number) -> Callable[[float], str]:
    return lambda instant: f"{number(instant):.6f}"


def _memory_text(number: Callable[[float], int]) -> Callable[[float], str]:
    return lambda instant: str(number(instant))


def _bytes_text(begin: float, rate: float) -> Callable[[float], str]:
    return lambda instant: str(int((instant - begin) * rate))
