"""The monitor's own metrics, for Prometheus."""

import math
from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from hub.monitor.history import History
from hub.monitor.result import State, Verdict


def rendered(verdicts: Sequence[Verdict], history: History) -> bytes:
    """What is known of each check, in the text format; NaN stands for never."""
    registry = CollectorRegistry()

    def gauge(what: str, says: str, *labels: str) -> Gauge:
        return Gauge(f"notebooks_monitor_{what}", says, labels, registry=registry)

    state = gauge("state", "1 for the state that the check is in.", "check", "state")
    last = gauge("last_run_timestamp_seconds", "Start of the last run.", "check")
    took = gauge("last_run_duration_seconds", "How long the last run took.", "check")
    step = gauge("last_step_duration_seconds", "How long each step of it took.", "check", "step")
    runs = gauge("runs", "Runs in the history, by how they ended.", "check", "result")
    for known in verdicts:
        for each in State:
            state.labels(known.check, each.name.lower()).set(known.state is each)
        last.labels(known.check).set(known.last.began_at if known.last else math.nan)
        took.labels(known.check).set(known.last.seconds if known.last else math.nan)
        for name, seconds in known.last.steps if known.last else ():
            step.labels(known.check, name.replace(" ", "_")).set(seconds)
        counted = history.counts(known.check)
        for result in (State.OK, State.WARNING, State.CRITICAL):
            runs.labels(known.check, result.name.lower()).set(counted.get(result, 0))
    return generate_latest(registry)
