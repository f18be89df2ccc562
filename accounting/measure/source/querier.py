"""Asking a source about the pods of one scope, a few questions at a time."""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Generic, TypeVar

from accounting.errors import SourceTooLarge
from accounting.measure.promql import dcgm, ksm, kubelet
from accounting.measure.promql.scope import Scope, one_of
from accounting.measure.source import discovery
from accounting.measure.source.prometheus import Source
from accounting.measure.source.uids import CgroupUids, fill_raw, fill_rows, sighting_of
from accounting.measure.usage.samples import (
    Labels,
    Points,
    RawSeries,
    Row,
    Sighting,
    UsageRow,
    label,
)
from accounting.model.time import Window

# VictoriaMetrics takes queries of at most 16 KiB; a name and its separator are up to 64 bytes.
_NAMED_AT_ONCE = 200
# Above this many pods, asking for all of them costs less than naming each.
_MOST_NAMED = 1000
# A raw query that reaches behind its window is halved down to this where it is refused.
_SHORTEST_SECONDS = 300

_HEARTBEAT_LOOKBACK_SECONDS = 3600

T = TypeVar("T")
Question = Callable[[Scope, Window], str]
"""About all pods, or what is no pod's."""
Query = Callable[[Scope, Window, str], str]
"""About those that a matcher names; about all if it is empty."""


class Answer(Generic[T]):
    """One, several or no answers on their way; read once, so that they do not outlive their use."""

    def __init__(self, parts: Sequence[Future[list[T]]] = ()) -> None:
        self._parts = list(parts)

    def read(self) -> list[T]:
        """Wait for it."""
        parts, self._parts = self._parts, []
        return [row for part in parts for row in part.result()]


@dataclass(frozen=True)
class Querier:
    """Asks a source about pods of one scope, in each spelling of their labels.

    Attributes:
        source: whom to ask.
        scope: about which pods.
        workers: ask two at a time.
        parts: the names of all pods, some at a time, where the source refuses to answer about all
            of them at once; empty where it does not.
    """

    source: Source
    scope: Scope
    workers: ThreadPoolExecutor
    parts: Sequence[Sequence[str]] = ()
    _known_uids: dict[Window, CgroupUids] = field(default_factory=dict, compare=False)

    def ask(self, query: Question, window: Window) -> Answer[Row]:
        """Ask about kube-state-metrics' series."""
        if self.scope.lacks_uid:
            return Answer([self.workers.submit(self._identified, query, window)])
        return self._vectors(self._about_all(query, window, self.scope.spellings_of_state), window)

    def ask_in_parts(self, query: Question, window: Window) -> "Parts":
        """The same of a span that no shorter window can shorten: half by half if refused."""
        return Parts(self, query, window)

    def ask_scheduled(self, query: Question, window: Window) -> Answer[Row]:
        """Ask about kube-scheduler's series."""
        forms = self.scope.spellings_of_scheduling
        return self._vectors(self._about_all(query, window, forms), window)

    def ask_usage(self, query: Question, window: Window) -> Answer[UsageRow]:
        """Ask about cAdvisor's series."""
        return self._usages(self._about_all(query, window, self.scope.spellings_of_usage), window)

    def named(
        self, query: Query, window: Window, names: Iterable[str], by: str = "uid"
    ) -> Answer[Row]:
        """Ask what some pods are: by name if they are few, else about all."""
        forms = self.scope.spellings_of_state
        if by == "uid" and self.scope.lacks_uid:
            return self.ask(lambda form, span: query(form, span, ""), window)
        return self._vectors(self._naming(query, window, names, forms, lambda _: by), window)

    def named_scheduled(self, query: Query, window: Window, pods: Iterable[str]) -> Answer[Row]:
        """Ask what is scheduled for some pods: by name if they are few, else about all."""
        forms = self.scope.spellings_of_scheduling
        return self._vectors(self._naming(query, window, pods, forms, _scheduled), window)

    def named_usage(self, query: Query, window: Window, pods: Iterable[str]) -> Answer[UsageRow]:
        """Ask what some pods used: by name if they are few, else about all."""
        forms = self.scope.spellings_of_usage
        return self._usages(self._naming(query, window, pods, forms, _used), window)

    def raw(
        self, query: Query, window: Window, uids: Iterable[str], by: str = "uid"
    ) -> list[RawSeries]:
        """Raw samples about some pods, of those who name them by uid."""
        forms = self.scope.spellings_of_state
        if by == "uid" and self.scope.lacks_uid:
            texts = self._about_all(lambda form, span: query(form, span, ""), window, forms)
            series = [one for text in texts for one in self.source.raw(text, window.end)]
            return fill_raw(series, self._uids(window))
        return self._raws(query, window, uids, forms, lambda _: by)

    def raw_scheduled(self, query: Query, window: Window, pods: Iterable[str]) -> list[RawSeries]:
        """Raw samples of kube-scheduler about some pods."""
        return self._raws(query, window, pods, self.scope.spellings_of_scheduling, _scheduled)

    def raw_usage(self, query: Query, window: Window, pods: Iterable[str]) -> list[RawSeries]:
        """Raw samples of cAdvisor about some pods."""
        return self._raws(query, window, pods, self.scope.spellings_of_usage, _used)

    def raw_of_nodes(self, query: Query, window: Window, only: str) -> list[RawSeries]:
        """Raw samples of kube-state-metrics about what a matcher names, which is no pod."""
        return self._raw_in_parts(lambda part: query(self.scope, part, only), window)

    def raw_otel(self, window: Window, pods: Iterable[str]) -> list[RawSeries]:
        """Raw samples of CPU of some pods, as OpenTelemetry tells it."""
        return [
            series
            for chunk in chunks(pods)
            for series in self._raw_in_parts(
                partial(_swapped, kubelet.raw_otel, self.scope, chunk), window
            )
        ]

    def raw_devices(self, window: Window, pods: Iterable[str]) -> list[RawSeries]:
        """Raw samples of the devices of some pods, in either spelling."""
        return [
            series
            for chunk in chunks(pods)
            for exported in (True, False)
            for series in self._raw_in_parts(
                partial(_swapped, partial(dcgm.device_use, exported=exported), self.scope, chunk),
                window,
            )
        ]

    def told_by_others(
        self, window: Window, seconds: float, pods: Iterable[str], step_seconds: float
    ) -> Answer[str]:
        """Ask which pods were told of by others than their own cgroups for ``seconds``, by name.

        Args:
            window: when.
            seconds: how long the own cgroup may be silent.
            pods: the pods' names; all if there are none.
            step_seconds: how often to look.
        """
        named = chunks(pods) or self.parts or [[]]
        ask = partial(self._told_by_others, window, round(seconds), round(step_seconds))
        return Answer(
            [
                self.workers.submit(ask, form, part)
                for form in self.scope.spellings_of_usage
                for part in named
            ]
        )

    def _told_by_others(
        self, window: Window, seconds: int, step: int, form: Scope, pods: Sequence[str]
    ) -> list[str]:
        by = form.usage("pod")
        only = one_of(by, pods) if pods else ""
        query = kubelet.told_by_others(form, seconds, only, pods)
        # Some stores move the steps to multiples of their length.
        wider = Window(window.start - step, window.end + step)
        return [labels.get(by, "") for labels in self.source.at_any_step(query, wider, step)]

    @staticmethod
    def can_name(pods: Collection[str]) -> bool:
        """Whether naming each costs less than asking for all."""
        return len(pods) <= _MOST_NAMED

    def _about_all(self, query: Question, window: Window, forms: Iterable[Scope]) -> list[str]:
        """The texts of a query; each once, as some depend on neither spelling nor pods."""
        texts = (query(one, window) for form in forms for one in self._parted(form))
        return list(dict.fromkeys(texts))

    def _parted(self, form: Scope) -> Iterator[Scope]:
        if not self.parts:
            yield form
        for part in self.parts:
            yield replace(form, names=tuple(part))

    def _naming(
        self,
        query: Query,
        window: Window,
        names: Iterable[str],
        forms: Iterable[Scope],
        by: Callable[[Scope], str],
    ) -> list[str]:
        wanted = set(names)
        if not self.can_name(wanted):
            return self._about_all(lambda form, span: query(form, span, ""), window, forms)
        return [
            query(form, window, one_of(by(form), chunk))
            for form in forms
            for chunk in chunks(wanted, self._at_once)
        ]

    @property
    def _at_once(self) -> int:
        """How many pods a query names; fewer where the source refuses more."""
        return min([_NAMED_AT_ONCE, *(max(1, len(part)) for part in self.parts[:1])])

    def _vectors(self, texts: Iterable[str], window: Window) -> Answer[Row]:
        return Answer([self.workers.submit(self._vector, text, window) for text in texts])

    def _vector(self, text: str, window: Window) -> list[Row]:
        rows = self.source.vector(text, window.end)
        return fill_rows(rows, self._uids(window)) if self.scope.lacks_uid else rows

    def _identified(self, query: Question, window: Window) -> list[Row]:
        """Rows with the uids that they lack; of a name that several pods had, asked for each."""
        uids, forms = self._uids(window), self.scope.spellings_of_state
        texts = self._about_all(query, window, forms)
        rows = [row for text in texts for row in self.source.vector(text, window.end)]
        nameless = {label(labels, "pod") for labels, _ in rows if not labels.get("uid")}
        reused = {name for name in nameless if name and len(uids.of(name)) > 1}
        filled = fill_rows((row for row in rows if not _is_of(row, reused)), uids)
        for name in sorted(reused):
            for uid, life in uids.lives(name):
                for form in forms if uid else ():
                    of_name = self.source.vector(
                        query(replace(form, names=(name,)), life), life.end
                    )
                    mine = (row for row in of_name if _is_of(row, {name}))
                    filled += [({**labels, "uid": uid}, value) for labels, value in mine]
        return filled

    def _uids(self, window: Window) -> CgroupUids:
        """Whose the series without a uid are; kept for the window's other queries."""
        known = self._known_uids.get(window)
        return known or self._known_uids.setdefault(
            window, CgroupUids(self.source, self.scope, window)
        )

    def _usages(self, texts: Iterable[str], window: Window) -> Answer[UsageRow]:
        return Answer([self.workers.submit(self.source.usage, t, window.end) for t in texts])

    def _raws(
        self,
        query: Query,
        window: Window,
        names: Iterable[str],
        forms: Iterable[Scope],
        by: Callable[[Scope], str],
    ) -> list[RawSeries]:
        found: dict[str, list[RawSeries]] = {}
        for chunk in chunks(names, self._at_once):
            for form in forms:
                only = one_of(by(form), chunk)
                # Some texts do not depend on the spelling: they are asked once.
                if (text := query(form, window, only)) not in found:
                    text_of = partial(_swapped, query, form, only)
                    found[text] = self._raw_in_parts(text_of, window)
        return [series for answer in found.values() for series in answer]

    def _raw_in_parts(self, text_of: Callable[[Window], str], window: Window) -> list[RawSeries]:
        """Raw samples of a span, half by half where it is refused; some samples come twice then."""
        try:
            return self.source.raw(text_of(window), window.end)
        except SourceTooLarge:
            if window.seconds <= _SHORTEST_SECONDS:
                raise
        middle = window.start + window.seconds // 2
        first, second = Window(window.start, middle), Window(middle, window.end)
        return self._raw_in_parts(text_of, first) + self._raw_in_parts(text_of, second)

    def beats(self, window: Window) -> list[Points]:
        """When the source spoke, in the window and the hour before."""
        try:
            return discovery.beats(self.source, self.scope, window, _HEARTBEAT_LOOKBACK_SECONDS)
        except SourceTooLarge:  # the hour before only helps to tell the scrape interval
            return discovery.beats(self.source, self.scope, window)

    def sightings(self, window: Window) -> list[Sighting]:
        """The phase series of a window, of the pods that count."""
        is_ours = re.compile(self.scope.pod).fullmatch
        texts = self._about_all(ksm.running, window, self.scope.spellings_of_state)
        found = [seen for text in texts for seen in self.source.sightings(text, window.end)]
        if self.scope.lacks_uid:
            found = self._told_apart(found, texts, window)
        return [seen for seen in found if is_ours(seen.name)]

    def _told_apart(
        self, found: list[Sighting], texts: Iterable[str], window: Window
    ) -> list[Sighting]:
        """Sightings with the uids that they lack; if several pods had a name, of all samples."""
        uids, filled = self._uids(window), [seen for seen in found if seen.uid]
        nameless = [seen for seen in found if not seen.uid]
        reused = {seen.name for seen in nameless if len(uids.of(seen.name)) > 1}
        filled += [
            seen._replace(uid=uids.at(seen.name, window.end))
            for seen in nameless
            if seen.name not in reused
        ]
        for text in texts if reused else ():
            raw = [one for one in self.source.raw(text, window.end) if not one[0].get("uid")]
            of_reused = (one for one in raw if label(one[0], "pod") in reused)
            filled += [sighting_of(one) for one in fill_raw(of_reused, uids)]
        return filled

    def uids_listed(self, window: Window) -> set[str]:
        """The uids of the pods that count and are listed in a window, perhaps of others as well."""
        if self.scope.lacks_uid:
            return {seen.uid for seen in self.sightings(window)}
        return discovery.pod_uids(self.source, self.scope, window)

    def images_in(self, labels: Labels) -> str:
        """The image, of the notebook's container only."""
        container = label(labels, "container")  # aggregated rows do not say
        return labels.get("image", "") if container in {"", self.scope.container} else ""


def _is_of(row: Row, names: Collection[str]) -> bool:
    """Whether a row is of a pod of these names, and does not say which."""
    labels, _ = row
    return not labels.get("uid") and label(labels, "pod") in names


class Parts:
    """Answers about a span, in the order of the parts of it that the source agrees to."""

    def __init__(self, querier: Querier, query: Question, window: Window) -> None:
        self._querier = querier
        self._query = query
        self._window = window
        self._whole = querier.ask(query, window)

    def read(self) -> list[Row]:
        """Wait for all of them, in order of time.

        Raises:
            SourceTooLarge: see ``read_parts``.
        """
        return [row for rows in self.read_parts() for row in rows]

    def read_parts(self) -> list[list[Row]]:
        """Wait for each of them.

        Raises:
            SourceTooLarge: it does not agree to the shortest part either.
        """
        window = self._window
        try:
            return [self._whole.read()]
        except SourceTooLarge:
            if window.seconds <= _SHORTEST_SECONDS:
                raise
        middle = window.start + window.seconds // 2
        halves = Window(window.start, middle), Window(middle, window.end)
        return [
            rows for half in halves for rows in Parts(self._querier, self._query, half).read_parts()
        ]


def chunks(names: Iterable[str], at_once: int = _NAMED_AT_ONCE) -> list[list[str]]:
    """Names, as many at once as a query may name."""
    ordered = sorted(names)
    return [ordered[i : i + at_once] for i in range(0, len(ordered), at_once)]


def _used(form: Scope) -> str:
    return form.usage("pod")


def _scheduled(form: Scope) -> str:
    return form.scheduling("pod")


def _swapped(query: Callable[[Scope, Window, T], str], form: Scope, only: T, window: Window) -> str:
    """The query, with the window as the last argument."""
    return query(form, window, only)
