"""The tests' own hub, provider and browser do what the other tests take for granted."""

from pathlib import Path

import httpx
import psutil
import pytest
from playwright.sync_api import Page

from tests.browser import ALL_VIEWS, WIDTHS, check_accessible, check_fits, screenshots, violations
from tests.hub.process import program, tail, wait_for
from tests.hub.provider import CLIENT_SECRET, Provider
from tests.hub.rig import DUMMY_LOGIN, PYTHONS, run_hub, simple_spawner
from tests.hub.visitor import Visitor

CLIENT = ("somebody", CLIENT_SECRET)


def test_a_real_server_starts_and_nothing_is_left_when_the_hub_ends(
    tmp_path: Path, jupyterhub: str
) -> None:
    config = DUMMY_LOGIN + simple_spawner(tmp_path)
    with run_hub(tmp_path, config, python=PYTHONS[jupyterhub]) as hub:
        with Visitor(hub) as visitor:
            page = visitor.login_with_password("alice", "password-of-the-tests")
            assert page.url.path.startswith(("/hub/spawn", "/user/alice"))
        hub.start_server("alice")
        headers = {"Authorization": f"token {hub.token_of('alice')}"}
        status = httpx.get(f"{hub.url}user/alice/api/status", headers=headers, timeout=60)
        assert status.json()["kernels"] == 0
        family = psutil.Process(hub.pid).children(recursive=True)
        assert any("singleuser" in " ".join(member.cmdline()) for member in family)
    wait_for(lambda: not any(member.is_running() for member in family), "the end of all processes")


def test_a_program_that_ends_at_once_is_named_with_its_log(tmp_path: Path) -> None:
    command = ["sh", "-c", "echo no such thing; exit 3"]
    with (
        pytest.raises(RuntimeError, match=r"status 3:\nno such thing"),
        program("it", command, tmp_path / "log", ready=lambda: False),
    ):
        pass
    assert tail(tmp_path / "log") == "no such thing\n"


def test_the_provider_accepts_its_own_tokens_and_no_others(provider: Provider) -> None:
    provider.client("somebody", ["http://127.0.0.1:1/callback"])
    provider.user("dora", entitlements=["urn:mace:egi.eu:group:vo.example.org#aai.egi.eu"])
    tokens = provider.tokens("dora", "somebody", scope="openid entitlements offline_access")
    forged = provider.signed(sub="dora", iss=provider.issuer, exp=4e9, jti="never-issued")

    def userinfo(token: str) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}"}
        return httpx.get(provider.endpoint("userinfo"), headers=headers, timeout=60)

    def active(token: str) -> bool:
        url = provider.endpoint("token/introspect")
        return bool(
            httpx.post(url, data={"token": token}, auth=CLIENT, timeout=60).json()["active"]
        )

    assert userinfo(tokens["access_token"]).json() == {
        "sub": "dora",
        "entitlements": ["urn:mace:egi.eu:group:vo.example.org#aai.egi.eu"],
    }
    assert userinfo(forged).status_code == 401
    assert active(tokens["access_token"])
    assert not active(forged)


def test_the_provider_refreshes_exchanges_and_revokes(provider: Provider) -> None:
    provider.client("somebody", ["http://127.0.0.1:1/callback"])
    provider.user("emil")
    tokens = provider.tokens("emil", "somebody", scope="openid offline_access")

    def ask(**form: str) -> httpx.Response:
        return httpx.post(provider.endpoint("token"), data=form, auth=CLIENT, timeout=60)

    fresh = ask(grant_type="refresh_token", refresh_token=tokens["refresh_token"]).json()
    assert fresh["access_token"] != tokens["access_token"]
    exchanged = ask(
        grant_type="urn:ietf:params:oauth:grant-type:token-exchange",
        subject_token=fresh["access_token"],
        subject_token_type="urn:ietf:params:oauth:token-type:access_token",
        requested_token_type="urn:ietf:params:oauth:token-type:refresh_token",
        scope="openid offline_access",
    ).json()
    assert exchanged["issued_token_type"] == "urn:ietf:params:oauth:token-type:refresh_token"
    assert exchanged["access_token"] != tokens["refresh_token"]  # it comes there (RFC 8693, 2.2.1)
    revoked = {"token": fresh["access_token"], "token_type_hint": "access_token"}
    httpx.post(
        provider.endpoint("revoke"), data=revoked, auth=CLIENT, timeout=60
    ).raise_for_status()
    introspected = httpx.post(
        provider.endpoint("token/introspect"), data=revoked, auth=CLIENT, timeout=60
    )
    assert introspected.json() == {"active": False}


def test_axe_and_the_widths_find_what_is_wrong_with_a_page(page: Page) -> None:
    page.set_content('<html lang="en"><title>t</title><main><h1>Right</h1></main>')
    check_accessible(page)
    check_fits(page)
    page.set_content('<html><img src="x"><div style="width: 600px; background: red">x</div>')
    assert {line.partition(":")[0] for line in violations(page)} >= {"image-alt", "html-has-lang"}
    with pytest.raises(AssertionError, match="px wide on a phone of 390"):
        check_fits(page)


def test_screenshots_come_in_both_themes_and_all_widths(page: Page) -> None:
    page.set_content("<h1>Screenshot</h1>")
    taken = screenshots(page, "Rig", ALL_VIEWS)
    assert [path.name for path in taken] == [
        f"rig-{theme}-{width}.png" for theme in ("light", "dark") for width in WIDTHS
    ]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in taken)
