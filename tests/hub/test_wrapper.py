"""The Hub API with an access token of the provider: everything is kept but the token."""

import json
import time
from collections.abc import Iterator

import httpx
import pytest

from hub.services.wrapper import HubTokens
from tests.hub.checkin import CLIENT, VO, Setup, Site
from tests.hub.process import wait_for

SCOPE = "openid profile entitlements offline_access"
CONFIG = """
c.Authenticator.auth_refresh_age = 300
c.EGICheckinAuthenticator.jwt_token_scopes = ["self"]
c.JupyterHub.tornado_settings = {"slow_spawn_timeout": 0}
"""


@pytest.fixture(scope="module")
def setup() -> Setup:
    return Setup(
        CONFIG,
        ("checkin", "programs"),
        replacing={'"hub.services.wrapper"': '"hub.services.wrapper", "--keep-seconds", "2"'},
        services=("jwt/",),
    )


@pytest.fixture
def client(site: Site) -> Iterator[httpx.Client]:
    site.provider.user("paula", entitlements=[VO])
    token = site.provider.tokens("paula", CLIENT, scope=SCOPE)["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    with httpx.Client(base_url=f"{site.hub.url}services/jwt", headers=headers, timeout=60) as made:
        yield made


def test_the_answers_are_the_hubs(site: Site, client: httpx.Client) -> None:
    assert client.get("/user").json()["name"] == "paula"
    missing = client.get("/users/nobody")
    assert missing.status_code == 404
    assert missing.json()["message"]
    assert client.get("/").json()["version"] == site.hub.api("GET", "/").json()["version"]


def test_method_query_and_body_are_kept(client: httpx.Client) -> None:
    made = client.post("/users/paula/tokens", json={"note": "a ✓ note", "expires_in": 600})
    assert made.status_code == 201
    one = client.get(f"/users/paula/tokens/{made.json()['id']}")
    assert one.json()["note"] == "a ✓ note"
    assert client.delete(f"/users/paula/tokens/{made.json()['id']}").status_code == 204
    assert client.post("/users/paula/tokens", content=b"no json").status_code == 400
    stopped = client.get("/users/paula", params={"include_stopped_servers": "1"})
    assert stopped.json()["servers"].keys() == {""}
    assert client.head("/user").status_code in {200, 405}


def test_headers_of_one_connection_stay_there(client: httpx.Client) -> None:
    headers = {"Connection": "close, X-Mine", "X-Mine": "1", "Cookie": "jupyterhub-hub-login=x"}
    answer = client.get("/user", headers=headers)
    assert answer.status_code == 200
    assert "Set-Cookie" not in answer.headers
    assert answer.headers["Content-Type"].startswith("application/json")


def test_progress_is_streamed(site: Site, client: httpx.Client) -> None:
    assert client.post("/users/paula/server").status_code in {201, 202}
    events = []
    with client.stream("GET", "/users/paula/server/progress") as stream:
        assert stream.headers["Content-Type"].startswith("text/event-stream")
        for line in stream.iter_lines():
            if line.startswith("data:"):
                events.append(json.loads(line.removeprefix("data:")))
            if events and events[-1].get("ready"):
                break
    assert events[-1]["progress"] == 100
    site.hub.stop_server("paula")


def test_a_login_serves_for_a_while_and_not_for_ever(site: Site, client: httpx.Client) -> None:
    def tokens() -> int:
        return len(site.hub.api("GET", "/users/paula/tokens").json()["api_tokens"])

    client.get("/user")
    before = tokens()
    started = time.monotonic()
    client.get("/user")
    assert tokens() == before or time.monotonic() - started > 1
    site.provider.revoke(client.headers["Authorization"].removeprefix("Bearer "))
    wait_for(lambda: client.get("/user").status_code == 401, "the end of a revoked token")


def test_without_a_good_token_nothing_is_asked(site: Site) -> None:
    url = f"{site.hub.url}services/jwt/user"
    missing = httpx.get(url, timeout=60)
    assert missing.status_code == 401
    assert missing.headers["WWW-Authenticate"] == "Bearer"
    wrong = httpx.get(url, headers={"Authorization": "Bearer no.good.token"}, timeout=60)
    assert wrong.status_code == 401
    assert "not accepted" in wrong.json()["message"]
    hub_token = httpx.get(url, headers={"Authorization": f"token {site.hub.token}"}, timeout=60)
    assert hub_token.status_code == 401


def test_a_hub_token_that_was_deleted_is_got_anew(site: Site, client: httpx.Client) -> None:
    assert client.get("/user").status_code == 200
    for token in site.hub.api("GET", "/users/paula/tokens").json()["api_tokens"]:
        site.hub.api("DELETE", f"/users/paula/tokens/{token['id']}")
    statuses = [client.get("/user").status_code for _ in range(2)]
    assert statuses[-1] == 200


def test_a_hub_token_is_kept_half_its_life_at_most_and_not_the_access_token() -> None:
    now = [0.0]
    tokens = HubTokens(300, clock=lambda: now[0])
    tokens.put("an access token", "hub", 100)
    assert tokens.get("an access token") == "hub"
    assert tokens.get("another") is None
    assert "an access token" not in repr(vars(tokens))
    now[0] = 50
    assert tokens.get("an access token") is None
