"""Whose a series is where the scrape drops the label ``uid``: cAdvisor's cgroups tell.

kube-state-metrics' series then name pods only, and a user's next pod may have the same name. A
cgroup's path has its pod's uid, and its samples tell when that pod had the name (cases.md, 4).
"""

from collections import defaultdict
from collections.abc import Iterable
from itertools import pairwise
from math import floor, inf
from threading import Lock

from accounting.measure.promql import kubelet
from accounting.measure.promql.scope import RESET_LOOKBACK_SECONDS, Scope, one_of
from accounting.measure.source.prometheus import Source
from accounting.measure.usage.cgroups import cgroup
from accounting.measure.usage.samples import RawSeries, Row, Sighting, label
from accounting.model.time import Window

# A pod is listed shortly before its first cgroup is seen.
_EARLY_SECONDS = 120.0

Span = tuple[float, float, str]
"""(first sample, last sample, uid)"""


class CgroupUids:
    """The uids of the pods that had a name in a window.

    Args:
        source: whom to ask; it is asked when the first name is looked up.
        scope: which pods.
        window: when.
    """

    def __init__(self, source: Source, scope: Scope, window: Window) -> None:
        self._source = source
        self._scope = scope
        self._window = window
        self._lock = Lock()
        self._spans: dict[str, list[Span]] | None = None

    def of(self, name: str) -> list[Span]:
        """The pods that had a name, in order of time; several if it was used again."""
        with self._lock:
            if self._spans is None:
                self._spans = self._read()
        return self._spans.get(name, [])

    def at(self, name: str, at: float) -> str:
        """The uid of the pod that had a name at a time; empty text where nothing tells."""
        spans = self.of(name)
        begun = [uid for first, _, uid in spans if first - _EARLY_SECONDS <= at]
        return begun[-1] if begun else next((uid for *_, uid in spans), "")

    def lives(self, name: str) -> list[tuple[str, Window]]:
        """The pods that had a name, each with its part of the window."""
        spans, window = self.of(name), self._window
        later = [floor(first - _EARLY_SECONDS) for first, *_ in spans[1:]]
        cuts = [window.start, *(min(max(at, window.start), window.end) for at in later), window.end]
        parts = zip(spans, pairwise(cuts), strict=False)
        return [(uid, Window(start, end)) for (*_, uid), (start, end) in parts if start < end]

    def _read(self) -> dict[str, list[Span]]:
        early = Window(self._window.start - RESET_LOOKBACK_SECONDS, self._window.end)
        uids: dict[str, set[str]] = defaultdict(set)
        for form in self._scope.spellings_of_usage:
            query = kubelet.seen_by_cadvisor(form, early)
            for row in self._source.usage(query, early.end):
                if uid := cgroup(row.metric.id).uid:
                    uids[row.pod].add(uid)
        spans = {name: [(-inf, inf, uid) for uid in found] for name, found in uids.items()}
        return spans | self._told_apart(name for name, found in uids.items() if len(found) > 1)

    def _told_apart(self, names: Iterable[str]) -> dict[str, list[Span]]:
        """When which pod had a name that was used again."""
        told: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        for name in names:
            for form in self._scope.spellings_of_usage:
                only = one_of(form.usage("pod"), [name])
                query = kubelet.raw_counters(form, self._window, only)
                for labels, points in self._source.raw(query, self._window.end):
                    if uid := cgroup(labels.get("id", "")).uid:
                        told[name][uid] += [at for at, _ in points]
        return {
            name: sorted((min(times), max(times), uid) for uid, times in found.items())
            for name, found in told.items()
        }


def fill_rows(rows: Iterable[Row], uids: CgroupUids) -> list[Row]:
    """Rows of kube-state-metrics with uids, of names that one pod had."""
    filled: list[Row] = []
    for labels, value in rows:
        name = label(labels, "pod")
        uid = labels.get("uid") or next((uid for *_, uid in uids.of(name) if name), "")
        filled.append(({**labels, "uid": uid} if uid else labels, value))
    return filled


def fill_raw(series: Iterable[RawSeries], uids: CgroupUids) -> list[RawSeries]:
    """Raw series of kube-state-metrics, each split among the pods that had the name."""
    filled: list[RawSeries] = []
    for labels, points in series:
        name = label(labels, "pod")
        if labels.get("uid") or not name:
            filled.append((labels, points))
            continue
        by_uid: dict[str, list[tuple[float, float]]] = defaultdict(list)
        for at, value in points:
            by_uid[uids.at(name, at)].append((at, value))
        filled += [({**labels, "uid": uid}, of_pod) for uid, of_pod in by_uid.items() if uid]
    return filled


def sighting_of(labels_and_points: RawSeries) -> Sighting:
    """A phase series of which all samples were read, reduced to the times that matter."""
    labels, points = labels_and_points
    running = [at for at, value in points if value == 1]
    last = running[-1] if running else None
    return Sighting(
        labels.get("uid", ""),
        label(labels, "namespace"),
        label(labels, "pod"),
        running[0] if running else None,
        last,
        points[-1][0],
        first_listed_at=points[0][0],
        stopped_at=next((at for at, _ in points if last is None or at > last), None),
    )
