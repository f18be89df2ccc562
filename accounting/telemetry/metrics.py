"""The program's own metrics.

The rule for metric names: ``notebooks_accounting_<what>_<unit>``; what only grows ends in
``_total``, a moment is ``…_timestamp_seconds``, and a number of things has no unit. Labels have few
and fixed values, all created up front, so that alerts work before the first failure; none is ever a
user, a pod or a VO. What is not known yet is NaN, never 0.
"""

import math
from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from accounting.model.jobs import Ending, JobKind, RunState
from accounting.model.messages import MessageState
from accounting.model.pods import Implausible
from accounting.model.reconciliation import Cause
from accounting.model.records import Held
from accounting.telemetry.standing import ELSEWHERE, Outgoing, Standing
from accounting.telemetry.usage import MonthUsage

CONTENT_TYPE = CONTENT_TYPE_LATEST
AREAS = (
    "records",
    "summaries",
    "ledger",
    "messages",
    "runs",
    "pages",
    "login",
    "health",
    "other",
)
"""What of the API and the pages a request was for."""

STATUSES = ("2xx", "3xx", "4xx", "5xx")

_ANSWER_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_POLL_SECONDS = (0.5, 1, 2, 5, 10, 30, 60, 300, 1800, 7200)
_USAGE = {
    "notebooks": "Notebooks",
    "wall_seconds": "Wall time",
    "cpu_seconds": "CPU time",
    "core_seconds": "Wall time, times cores",
    "memory_mb_seconds": "Wall time, times MB of memory",
    "gpu_seconds": "Wall time, times GPUs",
    "joules": "Energy, as far as it is known",
    "joules_estimated": "Energy that is estimated",
}
_STORAGE = {
    "volumes": "Home volumes",
    "used_bytes": "Bytes used in home volumes",
    "allocated_bytes": "Bytes allocated to home volumes",
}


class Metrics:
    """The program's own metrics, in a registry of their own.

    Args:
        version: of the program.
        destinations: the destinations' names in the settings.
    """

    def __init__(self, version: str, destinations: Sequence[str] = ()) -> None:
        self._destinations = (*destinations, ELSEWHERE)
        self.registry = registry = CollectorRegistry()

        def gauge(what: str, says: str, labels: tuple[str, ...] = ()) -> Gauge:
            return Gauge(f"notebooks_accounting_{what}", says, labels, registry=registry)

        def counter(what: str, says: str, labels: tuple[str, ...] = ()) -> Counter:
            return Counter(f"notebooks_accounting_{what}", says, labels, registry=registry)

        Info("notebooks_accounting_build", "What runs.", registry=registry).info(
            {"version": version}
        )
        self.poll_seconds = Histogram(
            "notebooks_accounting_poll_duration_seconds",
            "How long polls took.",
            buckets=_POLL_SECONDS,
            registry=registry,
        )
        self.polls = counter("polls", "Polls, by how they ended.", ("result",))
        self.windows = counter("windows", "Windows covered.")
        self.gaps = counter("gaps", "Silences of the source that were found.")
        self.rejected = counter("rejected_values", "Values that cannot be true.", ("reason",))
        self.last_poll = gauge(
            "last_poll_timestamp_seconds", "End of the last poll that went well."
        )
        self.silent_since = gauge(
            "source_silent_since_timestamp_seconds",
            "Since when the source is silent; 0: it speaks.",
        )
        self.lag = gauge(
            "lag_seconds",
            "From the end of the last covered window to now; NaN if a clock ran ahead.",
        )
        self.dated_ahead = gauge(
            "dated_ahead_records", "Records that say a time in the future: a clock ran ahead."
        )
        to = ("destination",)
        self.due = gauge("due_records", "Records that must go out and are in no message yet.", to)
        self.outbox = gauge("outbox_messages", "Messages in the outbox.", (*to, "state"))
        self.oldest = gauge("outbox_oldest_seconds", "Age of the oldest message that waits.", to)
        self.held = gauge(
            "held_records", "Records that are held back and not acknowledged.", ("reason",)
        )
        self.last_push = gauge(
            "last_push_timestamp_seconds", "When a message was last delivered.", to
        )
        self.certificate = gauge(
            "certificate_left_days", "Days until the host certificate expires.", to
        )
        self.pushes = counter("pushes", "Pushes, by how they ended.", ("result",))
        self.delivered = counter("delivered_records", "Records that were delivered.", to)
        self.stopped = gauge("stopped_destinations", "Destinations that take nothing for now.", to)
        self.differing = gauge(
            "differing_records", "Records of closed months that differ from what was sent.", to
        )
        self.last_reconciliation = gauge(
            "last_reconciliation_timestamp_seconds",
            "When what was delivered was last compared with the accounting portal.",
        )
        self.reconciliation = gauge(
            "reconciliation_differences",
            "Sites and VOs of a month where the portal's last figures differ from what was "
            "delivered, by likely cause.",
            ("cause",),
        )
        self.unmapped_flavors = gauge(
            "unmapped_flavors", "Flavours whose hours EOSC's accounting is not told."
        )
        self.unmapped_hours = gauge(
            "unmapped_hours", "Hours of those flavours, in the last three months."
        )
        self.answers = Histogram(
            "notebooks_accounting_http_answer_duration_seconds",
            "How long answers took, by what they were about.",
            ("area",),
            buckets=_ANSWER_SECONDS,
            registry=registry,
        )
        self.requests = counter("http_requests", "Requests answered.", ("area", "status"))
        self.failed_logins = counter("failed_logins", "Tokens that were shown and are not good.")
        self.runs = counter(
            "runs", "Runs that were asked for, by how they ended.", ("kind", "state")
        )
        by = ("vo", "flavor")
        self.usage = {
            figure: gauge(f"month_{figure}", f"{says}, in this month so far.", by)
            for figure, says in _USAGE.items()
        }
        self.storage = {
            figure: gauge(f"storage_{figure}", f"{says}, on the last day that was read.", ("vo",))
            for figure, says in _STORAGE.items()
        }
        self.users = gauge("month_users", "Users, in this month so far.", ("vo",))
        self.all_users = gauge(
            "month_distinct_users", "Users of all VOs, each once, in this month so far."
        )
        self._create_labels()

    def _create_labels(self) -> None:
        for ending in Ending:
            self.polls.labels(ending)
            self.pushes.labels(ending)
        for reason in Implausible:
            self.rejected.labels(reason)
        for area in AREAS:
            self.answers.labels(area)
            for status in STATUSES:
                self.requests.labels(area, status)
        for kind in JobKind:
            for state in RunState:
                if state is not RunState.RUNNING:
                    self.runs.labels(kind, state)
        for name in self._destinations:
            self.delivered.labels(name)
        self.last_poll.set(math.nan)
        self.show(Standing())
        self.show_usage(MonthUsage())

    def show(self, standing: Standing) -> None:
        """Set the gauges from the current state."""
        self.lag.set(_known(standing.lag_seconds))
        self.dated_ahead.set(_known(standing.dated_ahead))
        for name in {*self._destinations, *standing.destinations}:
            self._show(name, standing.destinations.get(name, Outgoing()))
        for reason in Held:
            if reason:
                count = None if standing.held is None else standing.held.get(reason, 0)
                self.held.labels(reason.value).set(_known(count))

        self.last_reconciliation.set(_known(standing.reconciled_at))
        for cause in Cause:
            if cause:
                found = standing.differences
                self.reconciliation.labels(cause.value).set(
                    _known(None if found is None else found.get(cause, 0))
                )

        hours = standing.unmapped_hours
        self.unmapped_flavors.set(_known(None if hours is None else len(hours)))
        self.unmapped_hours.set(_known(None if hours is None else sum(hours.values())))

    def _show(self, name: str, outgoing: Outgoing) -> None:
        self.due.labels(name).set(_known(outgoing.due))
        self.differing.labels(name).set(_known(outgoing.differing))
        self.oldest.labels(name).set(_known(outgoing.oldest_seconds))
        self.last_push.labels(name).set(_known(outgoing.last_push_at))
        self.certificate.labels(name).set(_known(outgoing.certificate_days))
        self.stopped.labels(name).set(_known(outgoing.is_stopped))
        for state in MessageState:
            self.outbox.labels(name, state).set(_known(outgoing.messages.get(state)))

    def show_usage(self, month: MonthUsage) -> None:
        """Set the gauges of usage; VOs and flavours of which there is nothing go."""
        for figure, gauge in self.usage.items():
            gauge.clear()
            for (vo, flavor), used in month.used.items():
                gauge.labels(vo, flavor).set(getattr(used, figure))
        for figure, gauge in self.storage.items():
            gauge.clear()
            for vo, stored in month.stored.items():
                gauge.labels(vo).set(getattr(stored, figure))
        self.users.clear()
        for vo, users in month.users.items():
            self.users.labels(vo).set(users)
        self.all_users.set(_known(month.all_users))

    def answered(self, area: str, status: int, seconds: float) -> None:
        """Count an answer."""
        self.answers.labels(area).observe(seconds)
        self.requests.labels(area, f"{min(max(status // 100, 2), 5)}xx").inc()

    def reject(self, reason: Implausible, count: int) -> None:
        """Count values that cannot be true."""
        self.rejected.labels(reason).inc(count)

    def render(self) -> bytes:
        """All of them, in the text format."""
        return generate_latest(self.registry)


def _known(value: float | None) -> float:
    return math.nan if value is None else value
