"""What is asked wrongly, over TCP: told by name, with a cure."""

import pytest

from tests.api.serving import Running


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("records?month=2026-13", "month is not a month; for example 2026-11"),
        ("records?month=²026-11", "month is not a month; for example 2026-11"),
        ("records?since=yesterday", "since is not a time; for example 2026-11-01"),
        ("records?since=nan", "since is not a time after 2013"),
        ("records?since=1e300", "since is not a time after 2013"),
        ("records?until=9999999999999999999999", "until is not a time after 2013"),
        ("records?sort=size", "sort is not something to sort by"),
        ("records?limit=many", "limit is not a whole number"),
        ("records?limit=0", "limit is less than 1"),
        ("records?limit=1001", "limit is more than 1000"),
        ("records?total=maybe", "total is neither true nor false"),
        ("records?status=gone", "status is not one of started or completed"),
        ("records?delivery=lost", "delivery is not one of held, "),
        ("records?user=%00", "user holds a zero byte"),
        (f"records?vo={'v' * 301}", "vo is longer than 300 characters"),
        ("records?usr=x", "usr is not known; did you mean user?"),
        ("records?vo=a&vo=b", "vo is given more than once"),
        ("records?cursor=abc", "the cursor is not one that this service gave out"),
        ("windows?since=soon", "since is not a time; for example 2026-11-01"),
        ("summaries?by=moon", "by is not one of month, day, vo, user, flavor or image"),
    ],
)
def test_a_wrong_parameter_is_told_by_name_in_our_words(
    query: str, said: str, running: Running
) -> None:
    _refused(running, query, said)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("records?format=csv&limit=5", "limit means nothing in a file"),
        ("records?format=apel&sort=user&cursor=x", "sort means nothing in a file"),
        ("records?format=parquet&sort=-month", "sort means nothing in a file"),
        ("records?since=2026-11-02&until=2026-11-01", "since is after until"),
        ("windows?since=2026-11-02&until=2026-11-01", "since is after until"),
        ("gaps?since=2026-11-02&until=2026-11-01", "since is after until"),
        ("gaps?limit=3", "limit is not known"),
        ("summaries?month=2026-11&first_month=2026-10", "first_month means nothing beside month"),
        ("summaries?month=2026-11&month=2026-10", "month is given more than once"),
        ("me?user=x", "user is not known"),
        ("status?=", " is not known"),
    ],
)
def test_options_that_would_be_ignored_are_refused(path: str, said: str, running: Running) -> None:
    _refused(running, path, said)


def _refused(running: Running, path: str, said: str) -> None:
    answer = running.get(f"/api/v1/{path}")
    assert answer.status_code == 400
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["detail"].startswith(said)
    assert answer.json()["cure"]


def test_a_file_that_is_only_accepted_takes_no_limit_either(running: Running) -> None:
    answer = running.get("/api/v1/records?limit=5", headers={"Accept": "text/csv"})
    assert (answer.status_code, answer.json()["errors"][0]["parameter"]) == (400, "limit")


def test_a_read_with_a_body_is_refused(running: Running) -> None:
    answer = running.ask("GET", "/api/v1/records", content=b'{"vo": "vo1"}')
    assert (answer.status_code, answer.json()["detail"]) == (400, "a body is not read here")
