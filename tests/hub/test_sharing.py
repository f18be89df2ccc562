"""Tokens for the pages of one's own server, and none once it is shared."""

import re
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from tests.hub.checkin import VO, Setup, Site
from tests.hub.visitor import Visitor

CONFIG = """
c.Authenticator.auth_refresh_age = 300
c.Spawner.oauth_client_allowed_scopes += ["access:servers!server"]
"""


@pytest.fixture(scope="module")
def setup() -> Setup:
    return Setup(CONFIG, ("checkin", "sharing"), services=("token-acquirer/token",))


def service(site: Site, token: str, path: str, method: str = "GET") -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}"}
    url = f"{site.hub.url}services/token-acquirer/{path}"
    return httpx.request(method, url, headers=headers, timeout=60)


def page_token(site: Site, name: str, server: str = "", owner: str = "") -> str:
    """The token that the page of a server gets for its visitor, as the server would get it."""
    owner = owner or name
    client_id = f"jupyterhub-user-{owner}" + (f"--{server}" if server else "")
    redirect = f"/user/{owner}/" + (f"{server}/" if server else "") + "oauth_callback"
    with Visitor(site.hub) as visitor:
        visitor.login(name)
        query = {"client_id": client_id, "redirect_uri": redirect, "response_type": "code"}
        page = visitor.get("hub/api/oauth2/authorize", params=query, follow_redirects=False)
        if page.status_code == 200:  # another's server: consent is asked for
            scopes = re.findall(r'name="scopes"[^>]*value="([^"]+)"', page.text)
            form = {"scopes": scopes, "_xsrf": visitor.xsrf()}
            page = visitor.post(page.url, data=form, follow_redirects=False)
        code = parse_qs(urlsplit(page.headers["Location"]).query)["code"][0]
    answer = httpx.post(
        f"{site.hub.api_url}/oauth2/token",
        data={
            "client_id": client_id,
            "client_secret": site.server_token(owner, server),
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect,
        },
        timeout=60,
    )
    return str(answer.raise_for_status().json()["access_token"])


@pytest.fixture
def rosa(site: Site) -> Iterator[str]:
    """Somebody with a running server; the token of its page."""
    site.provider.user("rosa", entitlements=[VO])
    with Visitor(site.hub) as visitor:
        visitor.login("rosa")
    site.hub.start_server("rosa")
    yield page_token(site, "rosa")
    for kind in ("shares", "share-codes"):
        site.hub.api("DELETE", f"/{kind}/rosa/")


def held(site: Site, name: str) -> str:
    return str(site.hub.user(name)["auth_state"]["access_token"])


def test_the_page_of_ones_own_server_gets_the_token(site: Site, rosa: str) -> None:
    answer = service(site, rosa, "token")
    assert answer.json() == {"access_token": held(site, "rosa")}
    assert answer.headers["Cache-Control"] == "no-store"


def test_the_page_of_ones_own_server_gets_what_the_provider_says(site: Site, rosa: str) -> None:
    answer = service(site, rosa, "token_details")
    assert answer.json() == {"preferred_username": "rosa", "entitlements": [VO]}  # the chosen ones
    assert answer.headers["Cache-Control"] == "no-store"
    assert service(site, site.hub.token_of("rosa"), "token_details").status_code == 403
    assert service(site, rosa, "share-codes/rosa/", "POST").status_code == 200
    assert service(site, rosa, "token_details").status_code == 403  # visitors would see it


def test_no_other_token_gets_it(site: Site, rosa: str) -> None:
    assert rosa
    with_scope = site.hub.token_of("rosa", scopes=["custom:token-acquirer:read"])
    assert service(site, with_scope, "token").status_code == 403  # of no server
    assert service(site, site.hub.token_of("rosa"), "token").status_code == 403
    assert service(site, site.hub.token, "token").status_code == 403
    # Whoever can run code in the server, as a visitor can, reads the server's own token.
    assert service(site, site.server_token("rosa"), "token").status_code in {401, 403}
    assert service(site, "unknown", "token").status_code == 401


def test_the_first_share_revokes_what_the_server_has_seen(site: Site, rosa: str) -> None:
    before = held(site, "rosa")
    revocations = site.provider.count("/revoke")
    made = service(site, rosa, "share-codes/rosa/", "POST")
    assert made.status_code == 200
    assert made.json()["code"]
    assert site.provider.count("/revoke") == revocations + 1
    assert held(site, "rosa") != before
    refused = service(site, rosa, "token")
    assert refused.status_code == 403
    assert "shared" in refused.json()["message"]
    assert service(site, rosa, "share-codes/rosa/", "POST").status_code == 200
    assert site.provider.count("/revoke") == revocations + 1  # only the first one revokes
    assert len(service(site, rosa, "share-codes/rosa/").json()["items"]) == 2
    assert service(site, rosa, "share-codes/rosa/", "DELETE").status_code == 204
    assert service(site, rosa, "token").json() == {"access_token": held(site, "rosa")}


def test_a_server_is_not_shared_when_its_token_cannot_be_revoked(site: Site, rosa: str) -> None:
    site.provider.set(silent_paths=["/auth/realms/egi/protocol/openid-connect/token"])
    try:
        answer = service(site, rosa, "share-codes/rosa/", "POST")
    finally:
        site.provider.set(silent_paths=[])
    assert answer.status_code == 502
    assert "not shared: Nothing was revoked" in answer.json()["message"]
    assert site.hub.api("GET", "/share-codes/rosa/").json()["items"] == []


def test_a_guest_at_a_shared_server_gets_neither_token(site: Site, rosa: str) -> None:
    site.provider.user("gustav", entitlements=[VO])
    with Visitor(site.hub) as visitor:
        visitor.login("gustav")
    assert service(site, rosa, "share-codes/rosa/", "POST").status_code == 200
    site.hub.api("POST", "/shares/rosa/", json={"user": "gustav"}).raise_for_status()
    guest = page_token(site, "gustav", owner="rosa")
    refused = service(site, guest, "token")
    assert refused.status_code == 403
    assert service(site, guest, "share-codes/rosa/", "POST").status_code == 403


def test_shares_of_another_server_are_not_ones_own(site: Site, rosa: str) -> None:
    assert service(site, rosa, "shares/gustav/").status_code == 403
    assert service(site, rosa, "shares/rosa/other").status_code == 403
    assert service(site, rosa, "shares/rosa/").json()["items"] == []
