"""Nodes that are lost: kube-state-metrics goes on saying that their pods run (M7)."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from math import inf

from accounting.measure.promql import ksm, kubelet
from accounting.measure.promql.scope import one_of
from accounting.measure.source.querier import Querier
from accounting.measure.usage.cgroups import cgroup
from accounting.measure.usage.samples import Points, Row, Samples, Sighting, label
from accounting.model.pods import Account
from accounting.model.time import Window

_NODE = ("exported_node", "node")


class LostNodes:
    """Asks which nodes were not ready, and ends what ran there with them.

    A pod runs on as long as a node's metrics still tell of it: then only the control plane does not
    hear from the node. One that comes back was never gone.

    Where nothing tells of nodes (kube-state-metrics may see one namespace only), pods do: with
    their node they are not ready any more. But a pod may also not be ready while it runs, so then
    its node's metrics must have told of it before.

    Args:
        querier: whom to ask.
        window: about what.
    """

    def __init__(self, querier: Querier, window: Window) -> None:
        self._to = querier
        self._window = window
        self._nodes = querier.ask(ksm.readiness, window)

    def end_pods(self, found: Samples, alive_seconds: float) -> None:
        """Bound when pods were running by when their nodes were lost.

        Args:
            found: the window's samples.
            alive_seconds: how long a node's metrics may be missing before it counts as lost.
        """
        nodes = self._nodes.read()
        rows = [row for row in nodes if not row[1]]
        if nodes and not rows:  # nearly always
            return
        of_nodes = self._since_nodes(found, rows)
        since = self._since_pods(found, nodes) | of_nodes
        doubtful = {uid: found.sightings[uid] for uid in since}
        used = self._last_used(doubtful.values())
        for uid, seen in doubtful.items():
            heard_at = used[uid]
            until = max(since[uid], heard_at)
            if heard_at == -inf and uid not in of_nodes:
                continue
            if heard_at >= (seen.last_running_at or inf) - alive_seconds:
                found.sightings[uid] = _doubted(seen, until, self._window)
            else:
                found.sightings[uid] = _bounded(seen, until)

    def _since_nodes(self, found: Samples, rows: Sequence[Row]) -> dict[str, float]:
        """Since when the nodes were not ready of pods that were last said to run there."""
        silences = self._silences(rows)
        since = {}
        for labels, _ in self._placed(rows):
            seen = found.sightings.get(labels.get("uid", ""))
            at = _since(silences.get(label(labels, "node"), ()), seen)
            if seen is not None and at is not None:
                since[seen.uid] = at
        return since

    def _since_pods(self, found: Samples, nodes: Sequence[Row]) -> dict[str, float]:
        """Since when pods were not ready that were last said to run, on nodes that nobody knows."""
        rows = self._to.ask(ksm.unready_pods, self._window).read()
        unready = {labels.get("uid", "") for labels, _ in rows} & found.sightings.keys()
        told = {label(labels, "node") for labels, _ in nodes}
        placed = self._to.named(ksm.pods_of_nodes, self._window, unready).read()
        unready -= {labels.get("uid", "") for labels, _ in placed if label(labels, "node") in told}
        since = {}
        for uid, points in self._pods_readiness(unready).items():
            at = _since(unready_spans(points), found.sightings.get(uid))
            if at is not None:
                since[uid] = at
        return since

    def _pods_readiness(self, uids: Iterable[str]) -> dict[str, Points]:
        told: dict[str, list[tuple[float, float]]] = defaultdict(list)
        for labels, points in self._to.raw(ksm.raw_pod_readiness, self._window, uids):
            told[labels.get("uid", "")] += points
        return {uid: sorted(points) for uid, points in told.items()}

    def keep_lost(self, found: Samples, accounts: Mapping[str, Account]) -> None:
        """Leave pods that ended with their node as they are until something is heard of the node.

        Where a node object is deleted, kube-state-metrics tells no more of the node, and says for a
        minute or so that its pods run: as long as the control plane keeps them.
        """
        lost = {
            uid: seen
            for uid, seen in found.sightings.items()
            if seen.last_running_at is not None and uid in accounts and accounts[uid].pod.is_lost
        }
        if not lost:  # nearly always
            return
        used = self._last_used(lost.values())
        ready = self._last_ready(lost)
        for uid, seen in lost.items():
            heard_at = max(used[uid], ready.get(uid, -inf))
            if heard_at <= (accounts[uid].pod.lost_at or 0.0):
                found.sightings[uid] = seen._replace(first_running_at=None, last_running_at=None)

    def _last_ready(self, uids: Iterable[str]) -> dict[str, float]:
        """When the node of pods was ready last, else the pods themselves, by the pods' uid."""
        placed = self._to.named(ksm.pods_of_nodes, self._window, uids).read()
        nodes: dict[str, float] = defaultdict(lambda: -inf)
        for only in _matchers(placed):
            for labels, points in self._to.raw_of_nodes(ksm.raw_readiness, self._window, only):
                node = label(labels, "node")
                nodes[node] = max(nodes[node], _last_told(points))
        if nodes:
            return {labels.get("uid", ""): nodes[label(labels, "node")] for labels, _ in placed}
        return {uid: _last_told(points) for uid, points in self._pods_readiness(uids).items()}

    def _placed(self, rows: Sequence[Row]) -> list[Row]:
        """Which pods were placed on these nodes."""
        answers = [
            self._to.ask(partial(ksm.pods_of_nodes, only=only), self._window)
            for only in _matchers(rows)
        ]
        return [row for answer in answers for row in answer.read()]

    def _silences(self, rows: Sequence[Row]) -> dict[str, list[tuple[float, float]]]:
        told: dict[str, list[tuple[float, float]]] = defaultdict(list)
        for only in _matchers(rows):
            for labels, points in self._to.raw_of_nodes(ksm.raw_readiness, self._window, only):
                told[label(labels, "node")] += points
        return {node: unready_spans(sorted(points)) for node, points in told.items()}

    def _last_used(self, pods: Iterable[Sighting]) -> dict[str, float]:
        """When a node's metrics last told of some pods, by uid; -inf if they did not.

        What names pods only may tell of the next pod of the name, once this one is not listed: even
        before that one is.
        """
        by_name: dict[str, list[Sighting]] = defaultdict(list)
        for seen in pods:
            by_name[seen.name].append(seen)
        last = {seen.uid: -inf for of_name in by_name.values() for seen in of_name}
        told = self._to.raw_usage(kubelet.raw_counters, self._window, by_name)
        if self._to.scope.has_otel:
            told += self._to.raw_otel(self._window, by_name)
        for labels, points in told:
            name = labels.get(kubelet.OTEL_POD) or label(labels, "pod")
            uid = labels.get("k8s_pod_uid") or cgroup(labels.get("id", "")).uid
            for seen in by_name.get(name, ()):
                until = inf if uid else seen.last_listed_at
                if not uid or uid == seen.uid:
                    at = max((at for at, _ in points if at <= until), default=-inf)
                    last[seen.uid] = max(last[seen.uid], at)
        return last


def _last_told(points: Points) -> float:
    """When it was last said to be so."""
    return max((at for at, value in points if value), default=-inf)


def unready_spans(points: Points) -> list[tuple[float, float]]:
    """(first sample that says so, first that says the contrary) of a node's readiness, in order.

    Where the first sample of all says so, it began before; the last one may still go on.
    """
    spans: list[tuple[float, float]] = []
    since: float | None = None
    for number, (at, value) in enumerate(points):
        if value == 0 and since is None:
            since = at if number else -inf
        elif value != 0 and since is not None:
            spans.append((since, at))
            since = None
    return spans if since is None else [*spans, (since, inf)]


def _since(spans: Iterable[tuple[float, float]], seen: Sighting | None) -> float | None:
    """Since when the node was lost on which a pod was seen running last; None if it was not."""
    if seen is None or seen.last_running_at is None:
        return None
    last = seen.last_running_at
    return next((since for since, until in spans if since <= last < until), None)


def _bounded(seen: Sighting, lost_at: float) -> Sighting:
    first, last = seen.first_running_at, seen.last_running_at
    if first is None or last is None or lost_at >= last:
        return seen
    if lost_at < first:
        return seen._replace(first_running_at=None, last_running_at=None, lost_at=first)
    return seen._replace(last_running_at=lost_at, lost_at=lost_at)


def _doubted(seen: Sighting, heard_at: float, window: Window) -> Sighting:
    """The same pod, running as its node's metrics told: the next window knows whether it went on.

    Nodes and kube-state-metrics are scraped at different moments. That the newest sample is not the
    node's says nothing, so nothing ends; but it may be the last one of a node that is dead.
    """
    first, last = seen.first_running_at, seen.last_running_at
    if first is None or last is None or heard_at >= last:
        return seen
    if heard_at <= window.start:
        return seen._replace(first_running_at=None, last_running_at=None, last_listed_at=heard_at)
    return seen._replace(
        first_running_at=min(first, heard_at), last_running_at=heard_at, last_listed_at=heard_at
    )


def _matchers(rows: Iterable[Row]) -> list[str]:
    """Match these nodes, by the labels that name them: one for each that a scrape makes of it."""
    told = {label(labels, "node") for labels, _ in rows}
    used = {name for labels, _ in rows for name in _NODE if name in labels}
    # Without honor_labels, ``node`` is that of kube-state-metrics itself.
    return [one_of(name, told) for name in sorted(used)]
