"""HEAD over TCP."""

import pytest

from accounting.guard.tokens import digest_of
from tests.api.serving import ADMIN, Running

HEADS = [
    "/api/v1/records",
    "/api/v1/records?format=csv",
    "/api/v1/summaries",
    "/api/v1/status",
    "/api/v1/messages",
    "/api/v1/me",
    "/api/v1/openapi.json",
    "/api/v1/nothing",
    "/api/v1/records?usr=x",
    "/metrics",
    "/healthz",
    "/readyz",
    "/",
    "/records",
    "/docs",
]


@pytest.mark.parametrize("path", HEADS)
@pytest.mark.parametrize("token", [ADMIN, None])
def test_head_says_what_get_says_without_its_body(
    path: str, token: str | None, running: Running
) -> None:
    heads = running.ask("HEAD", path, token)
    whole = running.get(path, token)
    changing = {"date", "content-security-policy", "content-length", "transfer-encoding"}
    assert heads.status_code == whole.status_code
    assert heads.content == b""
    told = [{k: v for k, v in a.headers.items() if k not in changing} for a in (heads, whole)]
    assert told[0] == told[1]


def test_head_of_a_file_writes_none_of_it(changing: Running) -> None:
    path = "/api/v1/records?format=parquet"
    for _ in range(5):  # more than may be under way
        assert changing.ask("HEAD", path).status_code == 200
    assert changing.get(path).status_code == 200


def test_a_login_address_is_not_used_up_by_head(running: Running) -> None:
    ticket = running.doors.sessions.ticket(digest_of(ADMIN.encode()))
    path = f"/login?ticket={ticket}"
    assert running.ask("HEAD", path, None).status_code == 405
    assert running.get(path, None).status_code == 303
