"""The stand-in for EOSC's accounting behaves as its documentation says, seen by a plain client."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from accounting.simulation.judges.eosc import SCOPES, Eosc, EoscStandin
from accounting.simulation.judges.standin import Fault, Trouble

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC).timestamp()
METRICS = "/accounting-system/installations/site/metrics"
METRIC: dict[str, Any] = {
    "metric_definition_id": "small-hours",
    "time_period_start": "2026-11-27T00:00:00Z",
    "time_period_end": "2026-11-28T00:00:00Z",
    "value": 3.25,
    "user_id": "u1@example.org",
    "group_id": "pp-123",
}


@pytest.fixture
def eosc() -> Eosc:
    return Eosc(now=lambda: NOW)


@pytest.fixture
def client(eosc: Eosc) -> Iterator[httpx.Client]:
    with (
        EoscStandin(eosc) as running,
        httpx.Client(base_url=running.url, trust_env=False, timeout=60) as made,
    ):
        made.headers["Authorization"] = f"Bearer {token(made).json()['access_token']}"
        yield made


SECRET = "the-clients-secret"


def token(client: httpx.Client, secret: str = SECRET, scope: str = SCOPES) -> Any:
    form = {
        "grant_type": "client_credentials",
        "client_id": "client",
        "client_secret": secret,
        "scope": scope,
    }
    return client.post("/token", data=form, auth=("client", secret))


def test_a_token_needs_the_secret_and_all_scopes_and_ends(client: httpx.Client, eosc: Eosc) -> None:
    assert token(client, "another").json() == {"error": "invalid_client"}
    assert token(client, scope="openid").status_code == 400
    assert client.get(METRICS).status_code == 200
    eosc.now = lambda: NOW + 301
    answer = client.get(METRICS)
    assert (answer.status_code, answer.json()["code"]) == (401, 401)


def test_a_second_post_is_a_second_metric_with_an_id_of_its_own(
    client: httpx.Client, eosc: Eosc
) -> None:
    first, second = (client.post(METRICS, json=METRIC) for _ in range(2))
    assert first.status_code == second.status_code == 201
    assert first.json()["metric_id"] != second.json()["metric_id"]
    assert eosc.hours() == {("small-hours", "u1@example.org", "pp-123", "2026-11-27"): 6.5}
    found = client.get(METRICS).json()
    assert (found["total_elements"], found["total_pages"], found["number_of_page"]) == (2, 1, 1)
    assert found["content"][0] == {"metric_id": first.json()["metric_id"], **METRIC}


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"flavor": "small"}, 400),
        ({"value": "3"}, 400),
        ({"time_period_end": "2026-11-29T00:00:00Z"}, 400),
        ({"time_period_end": "2026-11-27T00:00:00Z"}, 400),
        ({"time_period_start": "2026-11-27"}, 400),
        ({"metric_definition_id": "another"}, 404),
    ],
)
def test_what_is_wrong_with_a_metric_is_refused(
    client: httpx.Client, eosc: Eosc, changes: dict[str, object], status: int
) -> None:
    answer = client.post(METRICS, json=METRIC | changes)
    assert (answer.status_code, answer.json()["code"]) == (status, status)
    assert not eosc.metrics


def test_what_is_no_json_or_of_another_installation_or_not_allowed_is_refused(
    client: httpx.Client, eosc: Eosc
) -> None:
    assert client.post(METRICS, content=b"{}").status_code == 415
    assert client.post(METRICS, json=[METRIC]).status_code == 400
    assert client.post(METRICS.replace("site", "none"), json=METRIC).status_code == 404
    eosc.roles = frozenset({"add"})
    assert client.post(METRICS, json=METRIC).status_code == 201
    assert client.get(METRICS).status_code == 403


def test_a_value_can_be_corrected_and_a_metric_deleted(client: httpx.Client, eosc: Eosc) -> None:
    number = client.post(METRICS, json=METRIC).json()["metric_id"]
    place = f"{METRICS}/{number}"
    assert client.patch(place, json={"value": 1.5}).json() == {
        "metric_id": number,
        **METRIC,
        "value": 1.5,
    }
    assert client.patch(place, json={"hours": 1.5}).status_code == 400
    assert client.delete(place).status_code == 200
    assert client.delete(place).status_code == client.patch(place, json={}).status_code == 404
    assert not eosc.metrics


def test_lists_come_in_pages_of_the_days_and_the_definition_that_are_asked_for(
    client: httpx.Client,
) -> None:
    for n in range(3):
        client.post(METRICS, json=METRIC | {"user_id": f"u{n}"})
    client.post(METRICS, json=METRIC | {"metric_definition_id": "large-hours"})
    earlier = {
        "time_period_start": "2026-11-26T00:00:00Z",
        "time_period_end": "2026-11-27T00:00:00Z",
    }
    client.post(METRICS, json=METRIC | earlier)
    asked = {"start": "2026-11-27", "end": "2026-11-28", "metric-definition-id": "small-hours"}
    pages = [client.get(METRICS, params=asked | {"page": n, "size": 2}).json() for n in (1, 2)]
    assert [one["user_id"] for page in pages for one in page["content"]] == ["u0", "u1", "u2"]
    assert [page["size_of_page"] for page in pages] == [2, 1]
    assert pages[0]["total_pages"] == 2
    for wrong in ({"page": 0}, {"size": 101}):
        assert client.get(METRICS, params=wrong).status_code == 400


def test_an_old_server_refuses_a_second_metric_of_the_period(
    client: httpx.Client, eosc: Eosc
) -> None:
    eosc.has_index = True
    assert client.post(METRICS, json=METRIC).status_code == 201
    assert client.post(METRICS, json=METRIC | {"user_id": "u2"}).status_code == 409


def test_an_answer_is_lost_after_the_metric_was_made_or_nothing_is_done(
    client: httpx.Client, eosc: Eosc
) -> None:
    eosc.troubles += [Trouble(Fault.CLOSE, "POST"), Trouble(Fault.LOSE_ANSWER, "POST")]
    for made in (0, 1):
        with pytest.raises(httpx.RemoteProtocolError):
            client.post(METRICS, json=METRIC)
        assert len(eosc.metrics) == made
    eosc.troubles.append(Trouble(503))
    assert client.get(METRICS).status_code == 503
    assert client.get(METRICS).status_code == 200
