import io
import json
import logging
import math
import re
from collections.abc import Iterator

import pytest
import structlog
from prometheus_client.parser import text_string_to_metric_families

from accounting.model.messages import MessageState
from accounting.model.pods import Implausible
from accounting.model.records import Held
from accounting.telemetry.logs import configure_logs
from accounting.telemetry.metrics import Metrics
from accounting.telemetry.standing import Outgoing, Standing


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def samples(metrics: Metrics) -> dict[tuple[str, ...], float]:
    return {
        (sample.name.removeprefix("notebooks_accounting_"), *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(metrics.render().decode())
        for sample in family.samples
    }


def test_json_logs_are_one_object_per_line_with_the_runs_id() -> None:
    stream = io.StringIO()
    run = configure_logs("info", as_json=True, stream=stream)
    structlog.get_logger().info("polled", windows=3)
    structlog.get_logger().debug("not shown")
    logging.getLogger("library").warning("from %s", "elsewhere")
    first, second = map(json.loads, stream.getvalue().splitlines())
    assert (first["event"], first["windows"], first["run"], first["level"]) == (
        "polled",
        3,
        run,
        "info",
    )
    assert (second["event"], second["run"]) == ("from elsewhere", run)


def test_a_traceback_stays_on_one_line_of_json() -> None:
    stream = io.StringIO()
    configure_logs("info", as_json=True, stream=stream)
    try:
        int("odd")
    except ValueError:
        structlog.get_logger().exception("failed")
    (line,) = stream.getvalue().splitlines()
    assert "ValueError: invalid literal" in json.loads(line)["exception"]


def test_people_are_not_named_above_debug() -> None:
    stream = io.StringIO()
    configure_logs("debug", as_json=True, stream=stream)
    structlog.get_logger().info("seen", user="alice", pod="jupyter-alice", pods=1)
    structlog.get_logger().debug("seen", user="alice")
    above, below = map(json.loads, stream.getvalue().splitlines())
    assert "alice" not in str(above)
    assert above["pods"] == 1
    assert below["user"] == "alice"


def test_metric_names_follow_the_rule() -> None:
    names = {name for name, *_ in samples(Metrics("1"))}
    assert "build_info" in names
    allowed = re.compile(
        r"build_info|.*(_total|_created|_seconds|_seconds_(bucket|sum|count)|_days)"
        r"|(due|held|differing|dated_ahead)_records|outbox_messages|reconciliation_differences|stopped_destinations"
        r"|month_distinct_users|unmapped_(flavors|hours)"
    )
    assert [name for name in names if not allowed.fullmatch(name)] == []


def test_labels_exist_before_anything_happened() -> None:
    shown = samples(Metrics("1"))
    for result in ("done", "incomplete", "unavailable", "busy", "failed"):
        assert shown["polls_total", result] == shown["pushes_total", result] == 0
    assert {key[1] for key in shown if key[0] == "held_records"} == {
        reason.value for reason in Held if reason
    }
    assert {key[1:] for key in shown if key[0] == "outbox_messages"} == {
        ("elsewhere", state) for state in MessageState
    }


def test_what_is_not_known_is_nan() -> None:
    shown = samples(Metrics("1"))
    unknown = {key[0] for key, value in shown.items() if value != value}  # noqa: PLR0124 - NaN
    assert unknown == {
        "certificate_left_days",
        "dated_ahead_records",
        "differing_records",
        "due_records",
        "held_records",
        "lag_seconds",
        "last_poll_timestamp_seconds",
        "last_push_timestamp_seconds",
        "last_reconciliation_timestamp_seconds",
        "month_distinct_users",
        "outbox_messages",
        "outbox_oldest_seconds",
        "reconciliation_differences",
        "stopped_destinations",
        "unmapped_flavors",
        "unmapped_hours",
    }


def test_a_standing_is_shown_by_destination() -> None:
    metrics = Metrics("1", ["apel", "second"])
    messages = {state.value: 0 for state in MessageState} | {"pending": 2, "sent": 9}
    there = Outgoing("ams://x", 5, 3, messages, 30.0, 1e9, 12.5, is_stopped=True)
    standing = Standing(60.0, {Held.UNMAPPED: 4}, destinations={"second": there})
    metrics.show(standing)
    metrics.reject(Implausible.NEGATIVE, 2)
    shown = samples(metrics)
    assert {
        key: value
        for key, value in shown.items()
        if value
        and not math.isnan(value)
        and key[0] != "build_info"
        and not key[0].endswith("_created")
    } == {
        ("lag_seconds",): 60,
        ("due_records", "second"): 5,
        ("outbox_messages", "second", "pending"): 2,
        ("outbox_messages", "second", "sent"): 9,
        ("outbox_oldest_seconds", "second"): 30,
        ("held_records", "unmapped"): 4,
        ("last_push_timestamp_seconds", "second"): 1e9,
        ("certificate_left_days", "second"): 12.5,
        ("stopped_destinations", "second"): 1,
        ("differing_records", "second"): 3,
        ("rejected_values_total", "negative"): 2,
    }
