"""Asking a source about the pods of one scope, a few questions at a time."""

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

from accounting.errors import SourceTooLarge
from accounting.measure.promql import ksm, kubelet, scope
from accounting.measure.promql.scope import Scope
from accounting.measure.source import discovery
from accounting.measure.source.prometheus import Source
from accounting.measure.usage.samples import Labels, Points, Row, Sighting, UsageRow, label
from accounting.model.time import Window

# VictoriaMetrics takes queries of at most 16 KiB; a name and its separator are up to 64 bytes.
_NAMED_AT_ONCE = 200
# Above this many pods, asking for all of them costs less than naming each.
_MOST_NAMED = 1000

_HEARTBEAT_LOOKBACK_SECONDS = 3600

T = TypeVar("T")
Query = Callable[[Scope, Window, str], str]


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
    """Asks a source about pods of one scope."""

    source: Source
    scope: Scope
    workers: ThreadPoolExecutor

    def ask(self, query: str, at: float) -> Answer[Row]:
        """Ask an instant query about kube-state-metrics' series."""
        return Answer([self.workers.submit(self.source.vector, query, at)])

    def ask_usage(self, query: str, at: float) -> Answer[UsageRow]:
        """Ask an instant query about cAdvisor's series."""
        return Answer([self.workers.submit(self.source.usage, query, at)])

    def named(
        self, query: Query, window: Window, names: Iterable[str], by: str = "uid"
    ) -> Answer[Row]:
        """Ask what some pods are: by name if they are few, else about all."""
        return Answer(
            [
                self.workers.submit(self.source.vector, text, window.end)
                for text in self._naming(query, window, names, by)
            ]
        )

    def named_usage(self, query: Query, window: Window, pods: Iterable[str]) -> Answer[UsageRow]:
        """Ask what some pods used: by name if they are few, else about all."""
        return Answer(
            [
                self.workers.submit(self.source.usage, text, window.end)
                for text in self._naming(query, window, pods, self.scope.usage("pod"))
            ]
        )

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
        parts = chunks(pods) or [[]]
        ask = partial(self._told_by_others, window, round(seconds), round(step_seconds))
        return Answer([self.workers.submit(ask, part) for part in parts])

    def _told_by_others(
        self, window: Window, seconds: int, step: int, pods: Sequence[str]
    ) -> list[str]:
        by = self.scope.usage("pod")
        only = scope.one_of(by, pods) if pods else ""
        query = kubelet.told_by_others(self.scope, seconds, only, pods)
        # Some stores move the steps to multiples of their length.
        wider = Window(window.start - step, window.end + step)
        return [labels.get(by, "") for labels in self.source.at_any_step(query, wider, step)]

    @staticmethod
    def can_name(pods: Collection[str]) -> bool:
        """Whether naming each costs less than asking for all."""
        return len(pods) <= _MOST_NAMED

    def _naming(self, query: Query, window: Window, names: Iterable[str], by: str) -> list[str]:
        wanted = set(names)
        if not self.can_name(wanted):
            return [query(self.scope, window, "")]
        return [query(self.scope, window, scope.one_of(by, chunk)) for chunk in chunks(wanted)]

    def beats(self, window: Window) -> list[Points]:
        """When the source spoke, in the window and the hour before."""
        try:
            return discovery.beats(self.source, self.scope, window, _HEARTBEAT_LOOKBACK_SECONDS)
        except SourceTooLarge:  # the hour before only helps to tell the scrape interval
            return discovery.beats(self.source, self.scope, window)

    def sightings(self, window: Window) -> list[Sighting]:
        """The phase series of a window, of the pods that count."""
        is_ours = re.compile(self.scope.pod).fullmatch
        found = self.source.sightings(ksm.running(self.scope, window), window.end)
        return [seen for seen in found if is_ours(seen.name)]

    def images_in(self, labels: Labels) -> str:
        """The image, of the notebook's container only."""
        container = label(labels, "container")  # aggregated rows do not say
        return labels.get("image", "") if container in {"", self.scope.container} else ""


def chunks(names: Iterable[str]) -> list[list[str]]:
    """Names, as many at once as a query may name."""
    ordered = sorted(names)
    return [ordered[i : i + _NAMED_AT_ONCE] for i in range(0, len(ordered), _NAMED_AT_ONCE)]
