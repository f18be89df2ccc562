"""Whose a series is where the scrape drops the label ``uid``: cAdvisor's cgroups tell.

kube-state-metrics' series then name pods only, and a user's next pod may have the same name. A
cgroup's path has its pod's uid. When the next pod has the name, its creation time says: all of
kube-state-metrics' samples of a scrape are of the same pod (cases.md, 4).
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping
from itertools import pairwise
from math import ceil, inf
from operator import itemgetter
from threading import Lock

import structlog

from accounting.measure.promql import ksm, kubelet
from accounting.measure.promql.scope import RESET_LOOKBACK_SECONDS, Scope, one_of
from accounting.measure.source.prometheus import Source
from accounting.measure.usage.cgroups import cgroup
from accounting.measure.usage.samples import Points, RawSeries, Row, Sighting, label
from accounting.model.time import Window

log = structlog.get_logger(__name__)

# Where nobody says when pods were made: one is listed shortly before its first cgroup is seen.
_EARLY_SECONDS = 120.0
# A pod whose cgroup is seen was listed at most so much earlier.
_LISTED_SECONDS = 300

Span = tuple[float, str]
"""(since when the name was its, uid); the uid is empty where no cgroup was seen."""


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
        begun = [uid for since, uid in spans if since <= at]
        return begun[-1] if begun else next((uid for _, uid in spans), "")

    def lives(self, name: str) -> list[tuple[str, Window]]:
        """The pods that had a name, each with its part of the window."""
        spans, window = self.of(name), self._window
        later = [ceil(since) - 1 for since, _ in spans[1:]]
        cuts = [window.start, *(min(max(at, window.start), window.end) for at in later), window.end]
        parts = zip(spans, pairwise(cuts), strict=False)
        return [(uid, Window(start, end)) for (_, uid), (start, end) in parts if start < end]

    def _read(self) -> dict[str, list[Span]]:
        early = Window(self._window.start - RESET_LOOKBACK_SECONDS, self._window.end)
        uids: dict[str, set[str]] = defaultdict(set)
        for form in self._scope.spellings_of_usage:
            query = kubelet.seen_by_cadvisor(form, early)
            for row in self._source.usage(query, early.end):
                if uid := cgroup(row.metric.id).uid:
                    uids[row.pod].add(uid)
        spans = {name: [(-inf, uid) for uid in found] for name, found in uids.items()}
        several = {name for name, found in uids.items() if len(found) > 1}
        return spans | self._told_apart(several | self._made_anew())

    @property
    def _listed(self) -> Window:
        """When pods were listed whose cgroups, or own samples, are looked at."""
        since = self._window.start - RESET_LOOKBACK_SECONDS - _LISTED_SECONDS
        return Window(since, self._window.end)

    def _made_anew(self) -> set[str]:
        """The names that one pod after another had, be it that the later one has not begun."""
        return {
            label(labels, "pod")
            for form in self._scope.spellings_of_state
            for labels, _ in self._source.vector(
                ksm.made_anew(form, self._listed), self._listed.end
            )
        }

    def _told_apart(self, names: Iterable[str]) -> dict[str, list[Span]]:
        """When which pod had a name that was used again."""
        spans, undated = {}, 0
        for name in names:
            seen: dict[str, float] = {}
            for form in self._scope.spellings_of_usage:
                query = kubelet.raw_counters(form, self._window, one_of(form.usage("pod"), [name]))
                for labels, points in self._source.raw(query, self._window.end):
                    if uid := cgroup(labels.get("id", "")).uid:
                        seen[uid] = min(points[0][0], seen.get(uid, inf))
            created = self._created(name)
            undated += len(seen) > 1 and not created
            spans[name] = spans_of(seen, created)
        if undated:
            log.warning(
                "a scrape drops kube_pod_created and the label uid: when a name became the next"
                " notebook's is only known to two minutes",
                names=undated,
                cure="let the scrape of kube-state-metrics keep the label uid",
            )
        return spans

    def _created(self, name: str) -> Points:
        """What is said of when the pod of a name was made."""
        points: list[tuple[float, float]] = []
        for form in self._scope.spellings_of_state:
            only = one_of(form.state("pod"), [name])
            query = ksm.raw_state(form, self._listed, "kube_pod_created", only)
            for labels, told in self._source.raw(query, self._listed.end):
                points += () if labels.get("uid") else told
        return points


def spans_of(seen: Mapping[str, float], created: Points) -> list[Span]:
    """Since when each of the pods of a name had it, in order of time.

    Args:
        seen: uid → the first sample of its cgroups.
        created: (time, when the pod was made) of kube-state-metrics' samples.
    """
    told: dict[float, float] = {}
    for at, made_at in created:
        told[made_at] = min(at, told.get(made_at, inf))
    in_time = sorted(seen.items(), key=itemgetter(1))
    if not told:
        return [(first - _EARLY_SECONDS, uid) for uid, first in in_time]
    # By the API server's clock a pod's cgroups are younger than it is, by the store's it is listed.
    lives = sorted((since, min(made_at, since)) for made_at, since in told.items())
    uids = dict.fromkeys(range(len(lives)), "")
    begins = [begun_at for _, begun_at in lives]
    for uid, first in in_time:
        if first >= begins[0] - _EARLY_SECONDS:  # else an earlier pod's, of which nobody speaks
            uids[max(0, bisect_right(begins, first) - 1)] = uid
    return [(since, uids[number]) for number, (since, _) in enumerate(lives)]


def fill_rows(rows: Iterable[Row], uids: CgroupUids) -> list[Row]:
    """Rows of kube-state-metrics with uids, of names that one pod had."""
    filled: list[Row] = []
    for labels, value in rows:
        name = label(labels, "pod")
        uid = labels.get("uid") or next((uid for _, uid in uids.of(name) if name), "")
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
