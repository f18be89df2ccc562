"""The API does what its OpenAPI says, whatever it is asked: schemathesis, and a fuzz of our own."""

import inspect
from typing import Any

import pytest
import schemathesis
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from hypothesis import given, settings
from hypothesis import strategies as st
from schemathesis import Case
from schemathesis.checks import (
    content_type_conformance,
    not_a_server_error,
    response_schema_conformance,
    status_code_conformance,
)
from schemathesis.core.result import Ok

from accounting.api.routes import notebooks, records, storage, summaries
from accounting.delivery.outbox import Outbox
from accounting.delivery.pusher import Pusher
from tests.api.serving import ADMIN, Running, Serve
from tests.delivery.books import Inbox, account, ran_on, write

CHECKS = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
)
HEADERS = {"Authorization": f"Bearer {ADMIN}"}
FEW = settings(max_examples=15)


@pytest.fixture(scope="module")
def running(serve_all: Serve) -> Running:
    found = serve_all()
    pages = [account(n, group=f"vo{n % 3}") for n in range(12)]
    write(found.service.database, pages)
    Pusher(Outbox(found.service.database), Inbox(), now=found.clock).push()
    write(found.service.database, [ran_on(page, 60) for page in pages[:5]])
    return found


# The service is in this process: its threads draw how long to wait before they try again.
@pytest.mark.filterwarnings("ignore:Do not use the `random` module inside strategies")
def test_every_answer_is_as_described(running: Running) -> None:
    url = f"{running.url}/api/v1/openapi.json"
    schema = schemathesis.openapi.from_url(url, headers=HEADERS)
    found = list(schema.get_all_operations())
    operations = [one.ok() for one in found if isinstance(one, Ok)]
    assert len(operations) == len(found)
    assert len(operations) >= 15
    for operation in operations:

        @given(case=operation.as_strategy())
        @FEW
        def answers(case: Case[Any]) -> None:
            case.call_and_validate(headers=HEADERS, checks=list(CHECKS))

        answers()


def test_everything_is_described(running: Running) -> None:
    found = running.get("/api/v1/openapi.json").json()
    assert set(found["paths"]) >= {
        "/api/v1/records",
        "/api/v1/records/{uid}",
        "/api/v1/summaries",
        "/api/v1/storage",
        "/api/v1/windows",
        "/api/v1/gaps",
        "/api/v1/status",
        "/api/v1/messages",
        "/api/v1/messages/{number}",
        "/api/v1/messages/{number}/retry",
        "/api/v1/messages/{number}/park",
        "/api/v1/poll",
        "/api/v1/push",
        "/api/v1/runs/{name}",
    }
    for path, operations in found["paths"].items():
        for operation in operations.values():
            assert {"401", "403", "429"} <= set(operation["responses"]), path
    models = found["components"]["schemas"]
    for name in ("RecordModel", "UsageModel", "MessageModel", "RunModel"):
        for field, described in models[name]["properties"].items():
            choices = described.get("anyOf", [described])
            assert any({"$ref", "examples", "items"} & set(one) for one in [described, *choices]), (
                name,
                field,
            )


def test_the_description_is_a_page_that_loads_nothing_from_elsewhere(running: Running) -> None:
    page = running.get("/docs", headers={"Accept": "text/html"})
    assert page.status_code == 200
    for path in running.get("/api/v1/openapi.json").json()["paths"]:
        assert f"<code>{path}</code>" in page.text
    assert "://" not in page.text.replace("ams://", "")


ODD = st.text(max_size=40) | st.sampled_from(
    [
        "2026-11",
        "2026-00",
        "0000-01",
        "9999-12",
        "-1",
        "1e999",
        "NaN",
        "2026-11-31",
        "2026-11-01T25",
        "2014-01-01",
        "9999-12-31T23:59:59Z",
        "W10",
        "WyItbW9udGgiXQ",
        "null",
        "[]",
        "'; DROP TABLE x",
    ]
)
NAMES = (
    "month",
    "since",
    "until",
    "user",
    "vo",
    "pod",
    "flavor",
    "status",
    "delivery",
    "sort",
    "cursor",
    "limit",
    "format",
    "by",
    "first_month",
    "last_month",
)
QUESTIONS = st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=5), ODD, max_size=4)
PATHS = st.sampled_from(
    ["records", "summaries", "storage", "windows", "gaps", "messages", "status"]
)


@given(path=PATHS, question=QUESTIONS)
@settings(max_examples=120)
def test_odd_parameters_are_refused_or_answered_and_never_fail(
    path: str, question: dict[str, str], running: Running
) -> None:
    answer = running.get(f"/api/v1/{path}", params=question)
    assert answer.status_code in {200, 400, 406}, answer.text
    if answer.status_code != 200:
        assert set(answer.json()) >= {"title", "detail", "cure", "status"}


@given(data=st.binary(max_size=80))
@settings(max_examples=20)
def test_no_cursor_however_made_up_fails(data: bytes, running: Running) -> None:
    import base64  # noqa: PLC0415 - only here

    for cursor in (data.hex(), base64.urlsafe_b64encode(data).decode()):
        for sort in ("-month", "user", "cpu"):
            answer = running.get(
                "/api/v1/records", params={"cursor": cursor, "sort": sort, "limit": "2"}
            )
            assert answer.status_code in {200, 400}


@pytest.mark.parametrize("made", ["[" * 1490, "{" * 1400, "9" * 1400, "[1e999]", ""])
def test_a_cursor_of_odd_json_is_refused(made: str, running: Running) -> None:
    import base64  # noqa: PLC0415 - only here

    given = base64.urlsafe_b64encode(made.encode()).decode().rstrip("=")
    answer = running.get("/api/v1/records", params={"cursor": given or "-"})
    assert answer.status_code == 400


VALUES = st.integers(-(2**63), 2**63 - 1) | st.text(max_size=9) | st.none() | st.booleans()


@given(values=st.lists(VALUES | st.floats(allow_nan=False, allow_infinity=False), max_size=5))
@settings(max_examples=20)
def test_a_cursor_of_our_form_with_any_values_never_fails(
    values: list[object], running: Running
) -> None:
    from accounting.lookup.cursor import encode  # noqa: PLC0415 - only here

    for sort in ("-month", "user", "-cpu"):
        try:
            made = encode(sort, values)
        except UnicodeEncodeError:
            continue
        answer = running.get("/api/v1/records", params={"cursor": made, "sort": sort})
        assert answer.status_code in {200, 400}


def test_what_requests_depend_on_takes_no_thread_of_its_own() -> None:
    """FastAPI calls functions in threads of the pool, and coroutines at once."""
    routes = [
        route
        for router in (records.router, notebooks.router, summaries.router, storage.router)
        for route in router.routes
        if isinstance(route, APIRoute)
    ]
    assert len(routes) >= 6
    called = {one.call for route in routes for one in _all_of(route.dependant)}
    assert called
    assert not [call for call in called if not inspect.iscoroutinefunction(call)]


def _all_of(dependant: Dependant) -> list[Dependant]:
    found = dependant.dependencies
    return [*found, *(one for part in found for one in _all_of(part))]
