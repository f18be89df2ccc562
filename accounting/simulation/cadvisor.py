"""What the kubelet's cAdvisor endpoint exposes about the pods of its node."""

from collections.abc import Callable, Iterator

from accounting.simulation.cgroups import alias, container_path, pod_path, sandbox_label
from accounting.simulation.cluster import Cluster
from accounting.simulation.features import NodeShape
from accounting.simulation.labels import Labels
from accounting.simulation.series import Series, Span
from accounting.simulation.truth import Incarnation, SimulatedContainer, SimulatedPod

CPU = "container_cpu_usage_seconds_total"
WORKING_SET = "container_memory_working_set_bytes"
MAX_USAGE = "container_memory_max_usage_bytes"
RECEIVED = "container_network_receive_bytes_total"
SENT = "container_network_transmit_bytes_total"
FAMILIES = (CPU, WORKING_SET, MAX_USAGE, RECEIVED, SENT)

Number = Callable[[float], float]


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
        span = Span(since, until, _cpu_text(lambda t, c=cores: (t - since) * c))  # type: ignore[misc]
        yield Series(CPU, node, (*labels, *empty), (span,))


def pod_series(cluster: Cluster, pod: SimulatedPod) -> Iterator[Series]:
    """Every series of a pod: its own cgroup's, its sandbox's with the network, its containers'."""
    maker = _PodSeries(cluster, pod)
    if not cluster.features.pod_level_dropped:
        yield from maker.pod_level()
    yield from maker.container_level(pod.sandbox, sandbox_label(maker.shape))
    yield from maker.network()
    for box in pod.containers:
        yield from maker.container_level(box, box.name)


class _PodSeries:
    def __init__(self, cluster: Cluster, pod: SimulatedPod) -> None:
        self.shape: NodeShape = cluster.shape_of(pod)
        self._pod = pod
        self._id_dropped = cluster.features.id_dropped

    def pod_level(self) -> Iterator[Series]:
        pod = self._pod
        labels = self._labels("", pod_path(pod, self.shape), "", "")
        boxes = (*pod.containers, pod.sandbox)
        cpu = [Span(e.since, e.until, _cpu_text(_since(boxes, e.since))) for e in pod.epochs]
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


def _cpu_text(number: Number) -> Callable[[float], str]:
    return lambda instant: f"{number(instant):.6f}"


def _memory_text(number: Callable[[float], int]) -> Callable[[float], str]:
    return lambda instant: str(number(instant))


def _bytes_text(begin: float, rate: float) -> Callable[[float], str]:
    return lambda instant: str(int((instant - begin) * rate))
