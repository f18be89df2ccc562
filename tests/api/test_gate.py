"""Nobody without a token; browsers' sessions, forms and headers; bounds on what comes in."""

import asyncio
import re
from collections.abc import Iterator

import httpx
import pytest
from starlette.types import Message, Receive, Scope, Send

from accounting.errors import SettingsError
from accounting.guard.armour import MOST_BODY_BYTES, Armour
from accounting.guard.sessions import MOST_OF_ONE, Session
from accounting.guard.throttle import ALLOWED, SPAN_SECONDS, Throttle
from accounting.guard.tokens import digest_of
from tests.api.serving import ADMIN, JOB, Running, Serve

PATHS = [
    "/",
    "/metrics",
    "/docs",
    "/api/v1/records",
    "/api/v1/openapi.json",
    "/api/v1/push",
    "/not/there",
    "/static/x.css",
    "/login/",
    "/healthz/",
    "//healthz",
    "/records/1",
    "/api/v1/../../healthz/x",
    "/HEALTHZ",
]


@pytest.fixture
def running(serve: Serve) -> Running:
    return serve()


@pytest.fixture(scope="module")
def shared(serve_all: Serve) -> Running:
    return serve_all()


@pytest.mark.parametrize("method", ["GET", "POST", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"])
def test_without_a_token_no_path_says_whether_it_is_there(method: str, shared: Running) -> None:
    for path in PATHS:
        answer = shared.ask(method, path, None)
        assert answer.status_code == 401, path
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_only_liveness_and_readiness_are_open(shared: Running) -> None:
    assert shared.get("/healthz", None).json() == {"status": "alive"}
    assert shared.get("/readyz", None).json() == {"status": "ready"}


def test_every_answer_carries_the_security_headers(shared: Running) -> None:
    for answer in (
        shared.get("/healthz", None),
        shared.get("/api/v1/me"),
        shared.get("/"),
        shared.get("/not-there"),
        shared.get("/api/v1/me", None),
    ):
        headers = answer.headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["Referrer-Policy"] == "same-origin"
        assert headers["Cache-Control"] == "no-store"
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert "server" not in headers


def test_each_page_has_a_nonce_of_its_own(shared: Running) -> None:
    policies = {shared.get("/").headers["Content-Security-Policy"] for _ in range(3)}
    assert len(policies) == 3


@pytest.fixture
def browser(running: Running) -> Iterator[httpx.Client]:
    headers = {
        "Accept": "text/html",
        "Sec-Fetch-Site": "same-origin",
        "Sec-Fetch-Mode": "navigate",
        "Sec-Fetch-Dest": "document",
    }
    with httpx.Client(
        base_url=running.url, headers=headers, follow_redirects=True, timeout=60
    ) as client:
        yield client


def signed_in(browser: httpx.Client, token: str = ADMIN) -> httpx.Response:
    return browser.post("/login", data={"token": token, "following": "/"})


def csrf_token(running: Running) -> str:
    (session,) = running.doors.sessions._found.values()
    return session.csrf_token


def test_a_browser_without_a_session_is_shown_the_form(browser: httpx.Client) -> None:
    page = browser.get("/somewhere?x=1")
    assert page.status_code == 401
    assert 'name="token"' in page.text
    assert signed_in(browser, "wrong").status_code == 401
    assert browser.get("/").status_code == 401


def test_the_form_opens_a_session_and_signing_out_ends_it(
    browser: httpx.Client, running: Running
) -> None:
    page = signed_in(browser)
    assert (page.status_code, page.url.path) == (200, "/")
    cookie = next(iter(browser.cookies.jar))
    assert (cookie.has_nonstandard_attr("HttpOnly"), cookie.secure) == (True, False)
    assert ADMIN not in str(cookie.value)
    assert browser.get("/api/v1/me").json()["role"] == "admin"
    refused = browser.post("/logout")
    assert refused.status_code == 403
    browser.post("/logout", data={"csrf_token": csrf_token(running)})
    assert browser.get("/").status_code == 401


def test_behind_tls_the_cookie_is_secure(shared: Running) -> None:
    with httpx.Client(base_url=shared.url, timeout=60) as client:
        answer = client.post(
            "/login", data={"token": ADMIN}, headers={"X-Forwarded-Proto": "https"}
        )
    assert "Secure" in answer.headers["Set-Cookie"]
    assert "SameSite=lax" in answer.headers["Set-Cookie"]


def test_a_session_ends_with_its_token(browser: httpx.Client, running: Running) -> None:
    signed_in(browser)
    running.token_file.write_text("another-token")
    assert browser.get("/").status_code == 401


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-CSRF-Token": "guessed"},
        {"Origin": "https://evil.example.org"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "X-CSRF-Token": "REAL"},
        {"Origin": "https://evil.example.org", "X-CSRF-Token": "REAL"},
        {"Sec-Fetch-Site": "none", "X-CSRF-Token": "REAL"},
        {"Sec-Fetch-Dest": "iframe", "X-CSRF-Token": "REAL"},
    ],
)
def test_an_action_that_no_page_of_ours_asks_for_is_refused(
    headers: dict[str, str], browser: httpx.Client, running: Running
) -> None:
    signed_in(browser)
    token = csrf_token(running)
    sent = {name: value.replace("REAL", token) for name, value in headers.items()}
    assert browser.post("/api/v1/push", headers=sent).status_code == 403
    assert running.service.runs.latest() == []


def test_an_action_of_our_own_page_is_done(browser: httpx.Client, running: Running) -> None:
    signed_in(browser)
    form = {"csrf_token": csrf_token(running)}
    assert browser.post("/api/v1/push", data=form).status_code == 202
    (run,) = running.service.runs.latest()
    assert run.ended.wait(30)
    by_script = {"X-CSRF-Token": csrf_token(running), "Sec-Fetch-Mode": "cors"}
    assert browser.post("/api/v1/push", headers=by_script).status_code == 202


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"},
        {"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "empty"},
        {"Sec-Fetch-Mode": "same-origin", "Sec-Fetch-Dest": "empty"},
        {"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "script", "Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Dest": "iframe"},
        {"Sec-Fetch-Dest": "object"},
        {"Sec-Purpose": "prefetch;prerender"},
        {"Service-Worker": "script"},
    ],
)
def test_a_request_that_opens_no_window_reads_nothing_with_the_cookie(
    headers: dict[str, str], browser: httpx.Client
) -> None:
    signed_in(browser)
    for path in ("/", "/records", "/api/v1/records", "/api/v1/me"):
        assert browser.get(path, headers=headers).status_code == 403


@pytest.mark.parametrize("missing", ["Sec-Fetch-Site", "Sec-Fetch-Mode", "Sec-Fetch-Dest"])
def test_a_browser_that_does_not_say_who_asks_is_not_trusted(
    missing: str, browser: httpx.Client
) -> None:
    signed_in(browser)
    del browser.headers[missing]
    for path in ("/", "/api/v1/records", "/static/pages.css"):
        answer = browser.get(path)
        assert answer.status_code == 403
    assert "over https with a current browser" in answer.text


def test_static_files_are_for_our_own_pages(browser: httpx.Client) -> None:
    signed_in(browser)
    style = {"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "style"}
    assert browser.get("/static/pages.css", headers=style).status_code == 200
    elsewhere = {**style, "Sec-Fetch-Site": "same-site"}
    assert browser.get("/static/pages.css", headers=elsewhere).status_code == 403


def test_over_tls_the_cookie_is_one_that_no_other_host_can_set(browser: httpx.Client) -> None:
    tls = {"X-Forwarded-Proto": "https"}
    answer = browser.post("/login", data={"token": ADMIN}, headers=tls, follow_redirects=False)
    name, _, value = answer.headers["Set-Cookie"].partition(";")[0].partition("=")
    assert name == "__Host-accounting-session"
    browser.cookies.clear()
    for given, status in ((name, 200), ("accounting-session", 401)):
        said = {"Cookie": f"{given}={value}", **tls}
        assert browser.get("/", headers=said).status_code == status


@pytest.mark.parametrize(
    "following",
    [
        "https://evil.example.org/",
        "//evil.example.org",
        "/\\evil.example.org",
        "javascript:x",
        "/a\nb",
        "evil",
    ],
)
def test_signing_in_leads_to_a_page_of_ours_only(following: str, shared: Running) -> None:
    with httpx.Client(base_url=shared.url, timeout=60) as client:
        answer = client.post("/login", data={"token": ADMIN, "following": following})
    assert (answer.status_code, answer.headers["Location"]) == (303, "/")


def test_another_site_s_form_signs_nobody_in(shared: Running) -> None:
    with httpx.Client(base_url=shared.url, timeout=60) as client:
        for headers in ({"Origin": "https://evil.example.org"}, {"Sec-Fetch-Site": "cross-site"}):
            answer = client.post("/login", data={"token": ADMIN}, headers=headers)
            assert answer.status_code == 403


def test_a_ticket_opens_a_session_once(browser: httpx.Client, running: Running) -> None:
    ticket = running.doors.sessions.ticket(digest_of(ADMIN.encode()))
    assert browser.get(f"/login?ticket={ticket}").status_code == 200
    with httpx.Client(base_url=running.url, follow_redirects=True, timeout=60) as other:
        assert other.get(f"/login?ticket={ticket}").status_code == 401


def test_guesses_wait_and_right_tokens_always_work(running: Running) -> None:
    for _ in range(ALLOWED):
        assert running.get("/api/v1/me", "wrong").status_code == 401
    answer = running.get("/api/v1/me", "wrong")
    assert answer.status_code == 429
    assert 0 < int(answer.headers["Retry-After"]) <= SPAN_SECONDS
    for _ in range(2):  # though it was never seen before, and comes from the same address
        assert running.get("/api/v1/runs", JOB).status_code == 200
        assert running.get("/api/v1/me", "wrong").status_code == 429
    assert "failed_logins_total 13.0" in running.get("/metrics").text


def test_guesses_are_counted_by_address_by_network_and_overall() -> None:
    throttle = Throttle()
    assert not any(throttle.guessed("192.0.2.1") for _ in range(ALLOWED))
    assert throttle.guessed("192.0.2.1") == SPAN_SECONDS
    assert throttle.is_suspect("192.0.2.1")
    assert not throttle.is_suspect("192.0.2.2")
    assert not any(throttle.guessed(f"2001:db8::{n}") for n in range(ALLOWED))
    assert throttle.guessed("2001:db8::ffff")
    assert not throttle.guessed("2001:db8:1::1")
    for n in range(10 * ALLOWED):
        throttle.guessed(f"198.51.100.{n}")
    assert throttle.guessed("203.0.113.1")


def test_one_s_sessions_push_out_nobody_else_s(running: Running) -> None:
    sessions = running.doors.sessions
    admin = sessions.open(Session("boss", hub_token="x"))
    for _ in range(500):
        last = sessions.open(Session("eve", hub_token="y"))
    assert len(sessions._found) == MOST_OF_ONE + 1
    assert {digest_of(key.encode()) for key in (admin, last)} <= set(sessions._found)


@pytest.mark.parametrize("following", ["//[", "http://[", "/\x00", "[" * 5000, "//a:b@[::1"])
def test_no_address_to_go_to_fails_however_odd(following: str, shared: Running) -> None:
    with httpx.Client(base_url=shared.url, timeout=60) as client:
        asked = client.get("/login", params={"following": following})
        posted = client.post("/login", data={"token": ADMIN, "following": following})
    assert (asked.status_code, posted.headers["Location"]) == (401, "/")


def test_the_database_is_for_its_user_only(running: Running) -> None:
    for path in running.folder.glob("accounting.db*"):
        assert path.stat().st_mode & 0o077 == 0, path


@pytest.mark.parametrize(
    ("mode", "is_taken"),
    [(0o400, True), (0o600, True), (0o440, True), (0o640, True), (0o644, False), (0o602, False)],
)
def test_a_token_that_everybody_can_read_or_write_is_refused(
    mode: int, is_taken: bool, running: Running
) -> None:
    """0440, of another owner and a group of ours, is how the chart mounts it."""
    running.token_file.chmod(mode)
    if is_taken:
        running.doors.tokens.check()
        return
    with pytest.raises(SettingsError, match=r"ACCOUNTING_API__TOKEN_FILE.*by everybody") as caught:
        running.doors.tokens.check()
    assert f"chmod 400 {running.token_file}" in caught.value.cure
    assert running.get("/api/v1/me").status_code == 503, "while it runs, too"


def test_a_request_that_is_too_large_is_refused_declared_or_not(shared: Running) -> None:
    whole = shared.post("/api/v1/push", content=b"x" * (MOST_BODY_BYTES + 1))
    in_pieces = shared.post(
        "/login",
        None,
        content=iter([b"x" * MOST_BODY_BYTES, b"y"]),
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )
    assert [answer.status_code for answer in (whole, in_pieces)] == [413, 413]
    assert whole.headers["Content-Type"] == "application/problem+json"


def test_an_answer_that_takes_too_long_is_given_up() -> None:
    async def sleeper(_scope: Scope, _receive: Receive, _send: Send) -> None:
        await asyncio.sleep(60)

    said: list[Message] = []
    observed: list[tuple[str, int]] = []

    async def ask() -> None:
        class App:
            state = object()

        armour = Armour(
            sleeper,
            always=frozenset(),
            prefix="",
            seconds=0.05,
            clock=lambda: 0.0,
            observe=lambda route, status, _: observed.append((route, status)),
        )
        scope = {
            "type": "http",
            "method": "GET",
            "path": "/x",
            "headers": [],
            "scheme": "http",
            "app": App(),
        }

        async def receive() -> Message:
            return {"type": "http.request"}

        async def send(message: Message) -> None:
            said.append(message)

        await armour(scope, receive, send)

    asyncio.run(ask())
    assert said[0]["status"] == 503
    assert b"took longer" in said[1]["body"]
    assert observed == [("", 503)]


def test_refusals_name_nobody_and_no_file(shared: Running) -> None:
    for path in ("/api/v1/records?user=someone@example.org&x=1", "/api/v1/records/unknown-pod"):
        said = shared.get(path).text
        assert "someone@example.org" not in re.sub(r'"instance":"[^"]*"', "", said)
        assert "/tmp" not in said  # noqa: S108 - where tests keep their files
