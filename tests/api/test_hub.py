"""JupyterHub's login and tokens, with a real JupyterHub in front."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
import uvicorn

from accounting.app import create_app
from accounting.config.service import HubSettings
from accounting.guard.hub import managed, viewer_of
from tests.api.hubs import SERVICE_TOKEN, Hub, log_in, run_hub
from tests.api.serving import Running, Serve
from tests.delivery.books import account, write
from tests.private import secret

PREFIX = "/services/accounting"
MANAGERS = r"urn:mace:egi\.eu:group:(?P<vo>[^:]+):role=manager#aai\.egi\.eu"
OWNERS = [("ada", "physics"), ("ada", "biology"), ("bob", "physics"), ("bob", "biology")]


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    with run_hub(tmp_path_factory.mktemp("hub")) as found:
        yield found


@pytest.fixture
def running(hub: Hub, serve: Serve, tmp_path: Path) -> Iterator[Running]:
    secret(tmp_path / "hub-token", SERVICE_TOKEN)
    found = serve(
        HUB__API_URL=hub.api,
        HUB__API_TOKEN_FILE=str(tmp_path / "hub-token"),
        HUB__PREFIX=f"{PREFIX}/",
        HUB__MANAGER_GROUP=MANAGERS,
        HUB__ADMIN_GROUPS="accountants",
        HUB__ORIGIN="user-domains",
    )
    write(found.service.database, [account(n, user=u, group=g) for n, (u, g) in enumerate(OWNERS)])
    with _behind(hub, found):
        yield found


@contextmanager
def _behind(hub: Hub, running: Running) -> Iterator[None]:
    """The same application on the port that the hub's proxy knows."""
    with socket.create_server(("127.0.0.1", hub.service_port)) as listener:
        app = create_app(running.service, running.doors)
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off"))
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            yield
        finally:
            server.should_exit = True
            thread.join()


def numbers(answer: httpx.Response) -> set[int]:
    assert answer.status_code == 200, answer.text
    return {int(record["uid"][-12:]) for record in answer.json()["records"]}


@pytest.mark.parametrize(
    ("user", "role", "seen"),
    [
        ("boss", "admin", {0, 1, 2, 3}),
        ("aux", "admin", {0, 1, 2, 3}),
        ("mia", "manager", {0, 2}),
        ("ada", "self", {0, 1}),
    ],
)
def test_a_hub_s_token_shows_what_its_owner_may_see(
    user: str, role: str, seen: set[int], hub: Hub, running: Running
) -> None:
    for scopes in ((), ("access:services!service=accounting",)):
        token = hub.token_of(user, *scopes)
        assert running.get("/api/v1/me", token).json()["role"] == role
        assert numbers(running.get(f"{PREFIX}/api/v1/records", token)) == seen
        through_proxy = httpx.get(
            f"{hub.url}{PREFIX}/api/v1/records",
            headers={"Authorization": f"token {token}"},
            timeout=60,
        )
        assert numbers(through_proxy) == seen
        pushed = running.post("/api/v1/push", token).status_code
        # 409: the push before is still under way.
        assert pushed in ({202, 409} if role == "admin" else {403})


def test_a_hub_s_token_without_the_service_s_scope_is_refused(hub: Hub, running: Running) -> None:
    answer = running.get("/api/v1/records", hub.token_of("ada", "read:users!user=ada"))
    assert answer.status_code == 403
    assert "access:services!service=accounting" in answer.json()["cure"]


def test_a_user_who_asks_for_another_learns_nothing(hub: Hub, running: Running) -> None:
    token = hub.token_of("ada")
    said = [running.get(f"/api/v1/records?user={user}", token) for user in ("bob", "nobody")]
    said += [running.get(f"/api/v1/records/{account(n).pod.uid}", token) for n in (2, 99)]
    said += [running.get(f"/api/v1/summaries?user={user}", token) for user in ("bob", "nobody")]
    assert [answer.status_code for answer in said] == [403] * 6
    for one, other in zip(said[::2], said[1::2], strict=True):
        bodies = [{**a.json(), "instance": ""} for a in (one, other)]
        assert bodies[0] == bodies[1]
    for path in ("/messages", "/windows", "/messages/1"):
        assert running.get(f"/api/v1{path}", token).status_code == 403
    assert running.get("/metrics", token).status_code == 403
    assert running.get("/api/v1/status", token).json()["delivery"] is None


@pytest.fixture
def browser() -> Iterator[httpx.Client]:
    headers = {
        "Accept": "text/html",
        "Sec-Fetch-Site": "none",
        "Sec-Fetch-Mode": "navigate",
        "Sec-Fetch-Dest": "document",
    }
    with httpx.Client(follow_redirects=True, headers=headers, timeout=60) as client:
        yield client


def test_a_browser_logs_in_with_the_hub_and_out_with_it(
    hub: Hub, running: Running, browser: httpx.Client
) -> None:
    page = f"{hub.url}{PREFIX}/"
    first = browser.get(page, follow_redirects=False)
    assert first.status_code == 302
    assert "code_challenge_method=S256" in first.headers["Location"]
    log_in(hub, browser, "ada")
    shown = browser.get(page)
    assert (shown.status_code, str(shown.url)) == (200, f"{page}my")  # a user's own page
    cookie = next(c for c in browser.cookies.jar if c.name == "accounting-session")
    assert (cookie.path, cookie.has_nonstandard_attr("HttpOnly")) == (f"{PREFIX}/", True)
    seen = browser.get(f"{page}api/v1/records", headers={"Accept": "application/json"})
    assert numbers(seen) == {0, 1}
    hub.revoke_all("ada")
    running.doors.hub._auth.cache.clear()  # type: ignore[union-attr] # as a minute would
    again = browser.get(page, follow_redirects=False)
    assert again.status_code == 302


def test_a_login_that_was_not_begun_here_is_refused(
    running: Running, browser: httpx.Client
) -> None:
    callback = f"{running.url}{PREFIX}/oauth_callback"
    assert browser.get(f"{callback}?code=x&state=y").status_code == 403
    begun = browser.get(f"{running.url}{PREFIX}/", follow_redirects=False)
    state = httpx.URL(begun.headers["Location"]).params["state"]
    assert browser.get(f"{callback}?code=x&state=another").status_code == 403
    wrong = browser.get(f"{callback}?code=not-a-code&state={state}")
    assert wrong.status_code == 403
    assert "does not know this login&#39;s code" in wrong.text
    assert "the login begins anew" in wrong.text
    assert not any(cookie.name == "accounting-session" for cookie in browser.cookies.jar)


def test_a_hub_that_is_away_is_told_and_static_tokens_still_work(
    serve: Serve, tmp_path: Path
) -> None:
    secret(tmp_path / "hub-token", "x" * 32)
    running = serve(
        HUB__API_URL="http://127.0.0.1:9/hub/api",
        HUB__API_TOKEN_FILE=str(tmp_path / "hub-token"),
    )
    away = running.get("/api/v1/me", "some-token-of-the-hub")
    assert (away.status_code, away.headers["Retry-After"]) == (503, "10")
    assert running.get("/api/v1/me").json()["role"] == "admin"


@pytest.mark.parametrize(
    "answer",
    [b"<html>", b"[]", b"null", b'"x"', b"{}", b'{"name": "ada", "scopes": 7}', b'{"kind": []}'],
)
def test_an_answer_that_is_none_of_a_hub_s_lets_nobody_in(
    serve: Serve, tmp_path: Path, answer: bytes
) -> None:
    """Such as the page of a proxy that stands before the hub."""
    secret(tmp_path / "hub-token", "x" * 32)

    class Proxy(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as proxy:
        thread = threading.Thread(target=proxy.serve_forever)
        thread.start()
        running = serve(
            HUB__API_URL=f"http://127.0.0.1:{proxy.server_address[1]}/hub/api",
            HUB__API_TOKEN_FILE=str(tmp_path / "hub-token"),
        )
        assert running.get("/api/v1/me", "some-token-of-the-hub").status_code in {401, 503}
        proxy.shutdown()
        thread.join()


def test_groups_of_managers_name_their_vos() -> None:
    groups = frozenset(
        {
            "urn:mace:egi.eu:group:a:role=manager#aai.egi.eu",
            "urn:mace:egi.eu:group:b#aai.egi.eu",
            "x urn:mace:egi.eu:group:c:role=manager#aai.egi.eu",
        }
    )
    assert managed(groups, MANAGERS) == {"a"}
    assert managed(groups, "") == frozenset()


def test_a_hub_s_service_sees_nothing_unless_the_hub_calls_it_an_admin() -> None:
    model = {"kind": "service", "name": "cron", "admin": False}
    assert viewer_of(model, HubSettings()).role == "none"
    assert viewer_of({**model, "admin": True}, HubSettings()).role == "admin"
