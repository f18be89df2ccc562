"""Odd headers, logins and addresses are refused or answered; none is a failure of the service."""

import base64
import os
from collections import Counter
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.schemas import APIOperation

from accounting.guard.tokens import digest_of
from accounting.store.engine.access import Right, Viewer
from tests.api.serving import ADMIN, JOB, SCRAPER, Running, Serve

VISIBLE = st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"))
HEADERS = st.dictionaries(
    st.sampled_from(
        [
            "Accept",
            "Authorization",
            "Content-Type",
            "Cookie",
            "Host",
            "If-None-Match",
            "Origin",
            "Sec-Fetch-Dest",
            "Sec-Fetch-Mode",
            "Sec-Fetch-Site",
            "X-CSRF-Token",
            "X-Forwarded-For",
            "X-Forwarded-Proto",
        ]
    ),
    VISIBLE.map(lambda text: text.strip().encode("latin-1")),
    max_size=5,
)
PATHS = st.sampled_from(
    [
        "/",
        "/my",
        "/records",
        "/login",
        "/oauth_callback",
        "/logout",
        "/api/v1/me",
        "/static/x",
        "/x",
    ]
)
TOKENS = st.sampled_from([None, ADMIN, JOB, SCRAPER, "wrong"])


@pytest.fixture(scope="module")
def running(serve_all: Serve) -> Running:
    return serve_all()


@given(
    method=st.sampled_from(["GET", "POST", "HEAD", "PUT"]),
    path=PATHS,
    headers=HEADERS,
    token=TOKENS,
)
@settings(max_examples=400)
def test_no_headers_make_the_service_fail(
    method: str, path: str, headers: dict[str, bytes], token: str | None, running: Running
) -> None:
    given_headers = {name.encode(): value for name, value in headers.items()}
    if token is not None:
        given_headers[b"Authorization"] = f"Bearer {token}".encode()
    answer = running.client.request(method, running.url + path, headers=given_headers)
    assert answer.status_code < 500, answer.text


@given(following=st.text(max_size=60), token=st.text(max_size=60), ticket=st.text(max_size=60))
@settings(max_examples=150)
def test_no_login_makes_the_service_fail(
    following: str, token: str, ticket: str, running: Running
) -> None:
    def plain(text: str) -> str:
        return text.encode("utf-8", "replace").decode()

    form = {"token": plain(token), "following": plain(following)}
    with httpx.Client(base_url=running.url, timeout=60) as client:
        posted = client.post("/login", data=form)
        asked = client.get(
            "/login", params={"ticket": plain(ticket), "following": plain(following)}
        )
    assert {posted.status_code, asked.status_code} <= {303, 400, 401, 403, 429}


@given(made=st.text(alphabet='[]{}"0123456789,eE-\\u', max_size=1500) | st.binary(max_size=300))
@settings(max_examples=150)
def test_no_cursor_makes_the_service_fail(made: str | bytes, running: Running) -> None:
    packed = made.encode() if isinstance(made, str) else made
    cursor = base64.urlsafe_b64encode(packed).decode().rstrip("=")
    answer = running.get("/api/v1/records", params={"cursor": cursor})
    assert answer.status_code in {200, 400}


ODD_TEXT = st.text(max_size=6).filter(str.isprintable)
BODIES = st.one_of(*[st.just(b"")] * 7, st.binary(max_size=200))
MORE = st.one_of(*[st.just({})] * 7, st.dictionaries(ODD_TEXT, ODD_TEXT, min_size=1, max_size=1))

ROLES = {
    "admin": Viewer("boss", frozenset(Right), is_admin=True, user="boss"),
    "manager": Viewer("mia", frozenset({Right.READ}), vos=frozenset({"vo1"}), user="mia"),
    "self": Viewer("ada", frozenset({Right.READ}), user="ada"),
    "nobody": None,
}
FRAMING = ("Content-Length", "Transfer-Encoding", "Host")
"""What only a client can say: for a body that is announced and not sent, a server has to wait.

Names of headers are drawn, too, among others from the modules that are loaded. What the service
makes of wrong ones is tested with sockets.
"""
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "5"))
"""Of each operation, role, and mode: as it is described, and otherwise."""


@pytest.mark.parametrize("role", ROLES)
def test_whoever_asks_whatever_the_api_never_fails(
    role: str,
    running: Running,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    known = running.doors.tokens.viewer

    def viewer(digest: bytes) -> Viewer | None:
        return ROLES[role] if digest == digest_of(b"the-token") else known(digest)

    monkeypatch.setattr(running.doors.tokens, "viewer", viewer)
    url = f"{running.url}/api/v1/openapi.json"
    schema = schemathesis.openapi.from_url(url, headers={"Authorization": f"Bearer {ADMIN}"})
    headers = {"Authorization": "Bearer the-token"}
    seen: Counter[int] = Counter()
    for found in schema.get_all_operations():
        assert isinstance(found, Ok)
        operation = found.ok()
        for mode in _modes(operation):
            strategy = operation.as_strategy(generation_mode=mode)

            @given(case=strategy, body=BODIES, more=MORE)
            @settings(max_examples=EXAMPLES)
            def answers(case: Case[Any], body: bytes, more: dict[str, str]) -> None:
                case.query = {**(case.query or {}), **more}
                for name in FRAMING:
                    case.headers.pop(name, None)
                answer = case.call(headers=headers, data=body)
                seen[answer.status_code] += 1
                case.validate_response(answer, checks=[not_a_server_error], headers=headers)
                assert role != "nobody" or answer.status_code in {401, 413, 429, 431}

            answers()
    if "FUZZ_EXAMPLES" in os.environ:
        with capsys.disabled():
            print(f"\n{role}: {seen.total():,} cases, {dict(sorted(seen.items()))}")  # noqa: T201 - the figures are wanted


def _modes(operation: APIOperation[Any, Any, Any, Any]) -> list[GenerationMode]:
    """What has no options cannot be asked otherwise than it is described."""
    has_options = bool(operation.query or operation.path_parameters)
    return list(GenerationMode) if has_options else [GenerationMode.POSITIVE]
