"""Login at an OpenID provider, and what becomes of it, on both JupyterHubs."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.hub.checkin import TRAINING, VO, Setup, Site, run_site
from tests.hub.process import wait_for
from tests.hub.provider import Provider
from tests.hub.visitor import Visitor

OTHER = "urn:mace:egi.eu:group:other.example.org:role=member#aai.egi.eu"
CONFIG = """
c.EGICheckinAuthenticator.token_margin_seconds = 60
c.EGICheckinAuthenticator.provider_absence_seconds = 3600
"""


@pytest.fixture(scope="module")
def setup() -> Setup:
    return Setup(CONFIG)


def is_at_spawn_page(visitor: Visitor) -> bool:
    page = visitor.get("hub/spawn")
    return page.url.path.startswith("/hub/spawn") and "What shall it be?" in page.text


def test_a_member_logs_in_and_sees_the_spawn_page(site: Site, visitor: Visitor) -> None:
    site.provider.user("alice", entitlements=[OTHER, TRAINING, VO])
    visitor.login("alice")
    assert is_at_spawn_page(visitor)
    user = site.hub.user("alice")
    assert set(user["groups"]) == {OTHER, TRAINING, VO}
    state = user["auth_state"]
    assert state["primary_group"] == VO  # by priority, not by alphabet
    assert state["groups"] == [OTHER, TRAINING, VO]
    assert state["access_token"]
    assert state["refresh_token"]
    assert state["id_token"]


def test_somebody_in_no_allowed_group_is_told_so(site: Site, visitor: Visitor) -> None:
    site.provider.user("bob", entitlements=[OTHER])
    page = visitor.login("bob")
    assert page.status_code == 403
    assert "not currently authorized" in page.text


def test_a_denied_consent_comes_back_as_an_error_page(visitor: Visitor) -> None:
    page = visitor.get("hub/oauth_login")
    page = visitor.post(str(page.url), data={"login": "alice"})
    page = visitor.post(str(page.url), data={"answer": "no"})
    assert page.status_code == 400
    assert "did not consent" in page.text


def test_a_removed_member_is_turned_away_at_refresh(site: Site, visitor: Visitor) -> None:
    site.provider.user("carol", entitlements=[VO])
    visitor.login("carol")
    assert is_at_spawn_page(visitor)
    token = site.hub.token_of("carol")
    assert site.hub.api("GET", "/user", token=token).status_code == 200
    site.provider.user("carol", entitlements=[OTHER])
    wait_for(lambda: not is_at_spawn_page(visitor), "the end of carol's welcome")
    assert visitor.login("carol").status_code == 403
    wait_for(
        lambda: site.hub.api("GET", "/user", token=token).status_code == 403,
        "the end of what carol's API token may do",
    )
    start = site.hub.api("POST", "/users/carol/server")
    assert start.status_code == 403  # nor can others start a server for carol
    # Whatever asks the hub about carol finds the groups of today.
    user = site.hub.user("carol")
    assert (user["groups"], user["auth_state"]["groups"]) == ([OTHER], [OTHER])


def test_a_login_that_is_refused_takes_the_groups_that_were_lost(
    site: Site, visitor: Visitor
) -> None:
    site.provider.user("cleo", entitlements=[VO])
    visitor.login("cleo")
    assert site.hub.user("cleo")["groups"] == [VO]
    with Visitor(site.hub) as elsewhere:
        site.provider.user("cleo", entitlements=[OTHER])
        assert elsewhere.login("cleo").status_code == 403
    user = site.hub.user("cleo")
    assert (user["groups"], user["auth_state"]["groups"]) == ([OTHER], [OTHER])


def test_a_session_of_an_earlier_authenticator_is_confirmed_too(
    site: Site, visitor: Visitor
) -> None:
    """Its auth_state has the tokens, and no token_response."""
    site.provider.user("cyril", entitlements=[VO])
    visitor.login("cyril")
    state = site.hub.user("cyril")["auth_state"]
    kept = {name: state[name] for name in ("access_token", "refresh_token", "id_token")}
    site.hub.api("PATCH", "/users/cyril", json={"auth_state": kept}).raise_for_status()
    site.provider.user("cyril", entitlements=[OTHER])
    wait_for(lambda: not is_at_spawn_page(visitor), "the end of cyril's welcome")


def test_a_removed_member_s_pages_leave_no_traceback_in_the_log(
    site: Site, visitor: Visitor
) -> None:
    site.provider.user("cora", entitlements=[VO])
    visitor.login("cora")
    site.provider.user("cora", entitlements=[OTHER])
    before = len(site.hub.log.read_text(encoding="utf-8"))
    wait_for(lambda: not is_at_spawn_page(visitor), "the end of cora's welcome")
    for path in ("hub/home", "hub/token", "hub/spawn"):
        visitor.get(path)
    said = site.hub.log.read_text(encoding="utf-8")[before:]
    assert "is not allowed here any more" in said
    assert "Traceback" not in said


def test_a_confirmation_that_says_nothing_new_is_not_written(site: Site, visitor: Visitor) -> None:
    site.provider.user("nora", entitlements=[VO])
    visitor.login("nora")
    before, asked = site.written("nora"), site.provider.count("userinfo")

    def confirmed() -> bool:
        visitor.get("hub/home")
        return site.provider.count("userinfo") >= asked + 2

    wait_for(confirmed, "two confirmations")
    assert site.written("nora") == before


def test_a_renewal_of_tokens_is_written_once(site: Site, visitor: Visitor) -> None:
    site.provider.user("nils", entitlements=[VO])
    site.provider.set(access_token_seconds=30)  # always due
    visitor.login("nils")
    renewals = site.provider.count("/token", "refresh_token")
    with site.writes("nils") as written:

        def renewed() -> bool:
            visitor.get("hub/home")
            return site.provider.count("/token", "refresh_token") >= renewals + 3

        wait_for(renewed, "three renewals")
        assert written() == site.provider.count("/token", "refresh_token") - renewals


def test_a_user_who_never_logged_in_can_be_started_by_a_service(site: Site) -> None:
    site.hub.add_user("robot")
    assert site.hub.user("robot")["auth_state"] is None
    site.hub.start_server("robot")
    site.hub.stop_server("robot")


def test_the_primary_group_leaves_with_the_membership(site: Site, visitor: Visitor) -> None:
    site.provider.user("dora", entitlements=[VO, TRAINING])
    visitor.login("dora")
    site.provider.user("dora", entitlements=[TRAINING])

    def primary_group() -> str:
        visitor.get("hub/spawn")
        return str(site.hub.user("dora")["auth_state"]["primary_group"])

    wait_for(lambda: primary_group() == TRAINING, "dora's other primary group")
    assert site.hub.user("dora")["groups"] == [TRAINING]


def test_fresh_tokens_reach_the_running_server(site: Site, visitor: Visitor) -> None:
    site.provider.user("emil", entitlements=[VO])
    site.provider.set(rotate_refresh=True, access_token_seconds=30)  # always due
    visitor.login("emil")
    site.hub.start_server("emil")
    first = site.hub.user("emil")["auth_state"]

    def renewed() -> bool:
        visitor.get("hub/spawn")
        return bool(site.hub.user("emil")["auth_state"]["access_token"] != first["access_token"])

    wait_for(renewed, "a fresh access token")
    state = site.hub.user("emil")["auth_state"]
    assert state["refresh_token"] != first["refresh_token"]
    access_token, id_token = site.tokens("emil")
    assert access_token != first["access_token"]
    assert id_token
    with Visitor(site.hub) as elsewhere:
        elsewhere.login("emil")  # a login while the server runs brings it new ones too
    again, _ = site.tokens("emil")
    assert again not in {access_token, first["access_token"]}
    site.hub.stop_server("emil")


def test_a_server_that_takes_no_tokens_logs_nobody_out(site: Site, visitor: Visitor) -> None:
    site.provider.user("unlucky", entitlements=[VO])
    site.provider.set(access_token_seconds=30)
    visitor.login("unlucky")
    site.hub.start_server("unlucky")
    first = site.hub.user("unlucky")["auth_state"]["access_token"]

    def renewed() -> bool:
        assert is_at_spawn_page(visitor) or visitor.get("hub/home").url.path == "/hub/home"
        return bool(site.hub.user("unlucky")["auth_state"]["access_token"] != first)

    wait_for(renewed, "a fresh access token")
    site.hub.stop_server("unlucky")


def test_many_requests_at_once_use_a_rotating_refresh_token_once(
    site: Site, visitor: Visitor
) -> None:
    site.provider.user("fred", entitlements=[VO])
    site.provider.set(rotate_refresh=True, access_token_seconds=30)
    visitor.login("fred")
    token = site.hub.token_of("fred")

    def status(_: int) -> int:
        return site.hub.api("GET", "/user", token=token).status_code

    before = site.provider.count("/token", "refresh_token")
    with ThreadPoolExecutor(8) as pool:

        def refreshed() -> bool:
            assert set(pool.map(status, range(16))) == {200}
            return site.provider.count("/token", "refresh_token") >= before + 2

        wait_for(refreshed, "two refreshes")
    assert is_at_spawn_page(visitor)


def test_a_state_from_before_a_renewal_does_not_end_the_session(
    site: Site, visitor: Visitor
) -> None:
    site.provider.user("greta", entitlements=[VO])
    site.provider.set(rotate_refresh=True, access_token_seconds=30)
    visitor.login("greta")
    token = site.hub.token_of("greta")
    old = site.hub.user("greta")["auth_state"]

    def renewed() -> bool:
        assert site.hub.api("GET", "/user", token=token).status_code == 200
        return bool(site.hub.user("greta")["auth_state"]["refresh_token"] != old["refresh_token"])

    wait_for(renewed, "a fresh refresh token")
    # as a request does that began before and ends after the renewal
    site.hub.api("PATCH", "/users/greta", json={"auth_state": old}).raise_for_status()
    wait_for(renewed, "a fresh refresh token again")
    assert is_at_spawn_page(visitor)


def test_an_ended_session_at_the_provider_asks_for_a_login(site: Site, visitor: Visitor) -> None:
    site.provider.user("gina", entitlements=[VO])
    visitor.login("gina")
    refresh_token = site.hub.user("gina")["auth_state"]["refresh_token"]
    site.provider.revoke(refresh_token)

    def must_log_in() -> bool:
        page = visitor.get("hub/home", follow_redirects=False)
        return page.status_code == 302 and "/hub/login" in page.headers["Location"]

    wait_for(must_log_in, "the login page")


def test_nobody_is_logged_out_while_the_provider_is_away(site: Site, visitor: Visitor) -> None:
    nobody_is_logged_out(site, visitor, "gone")


@pytest.mark.parametrize("mode", ["broken", "silent"])
def test_nobody_is_logged_out_whatever_is_wrong_with_the_provider(
    site: Site, visitor: Visitor, mode: str
) -> None:
    nobody_is_logged_out(site, visitor, mode)


def nobody_is_logged_out(site: Site, visitor: Visitor, mode: str) -> None:
    site.provider.user("hans", entitlements=[VO])
    site.provider.set(access_token_seconds=30)
    visitor.login("hans")
    site.hub.start_server("hans")
    site.provider.set(mode=mode)
    before = site.provider.count("")

    def asked() -> bool:
        return visitor.get("hub/home").is_success and site.provider.count("") > before

    wait_for(asked, "a refresh")
    assert visitor.get("hub/home").url.path == "/hub/home"
    assert site.hub.user("hans")["servers"][""]["ready"]
    site.hub.start_server("hans", "more")  # the refresh before a start is tolerated too
    site.hub.stop_server("hans", "more")
    site.hub.stop_server("hans")


@pytest.mark.parametrize(
    "name",
    ["x" * 100, "ilse@example.org", "žofie-ångström", "a b%20c?d#e", "0123"],
    ids=["long", "at", "non-ascii", "signs", "digits"],
)
def test_odd_user_names_log_in(site: Site, visitor: Visitor, name: str) -> None:
    site.provider.user("odd", preferred_username=name, entitlements=[VO])
    visitor.login("odd")
    assert is_at_spawn_page(visitor)
    assert site.hub.user(name)["name"] == name


def test_the_discovery_document_is_read_once(site: Site, visitor: Visitor) -> None:
    site.provider.user("alice", entitlements=[VO])
    visitor.login("alice")
    before = site.provider.count("openid-configuration")
    with Visitor(site.hub) as other:
        other.login("alice")
    assert is_at_spawn_page(visitor)
    assert site.provider.count("openid-configuration") == before


def test_what_was_confirmed_lately_is_not_asked_again(
    provider: Provider, tmp_path: Path, jupyterhub: str
) -> None:
    config = """
c.EGICheckinAuthenticator.confirm_seconds = 3600
c.JupyterHub.log_level = "DEBUG"
"""
    with (
        run_site(tmp_path, provider, config, version=jupyterhub) as site,
        Visitor(site.hub) as visitor,
    ):
        provider.user("otto", entitlements=[VO])
        visitor.login("otto")
        token = site.hub.token_of("otto")
        asked = provider.count("")
        refreshes = "Refreshing auth for otto"

        def refreshed() -> bool:
            assert site.hub.api("GET", "/user", token=token).status_code == 200
            return site.hub.log.read_text(encoding="utf-8").count(refreshes) >= 3

        wait_for(refreshed, "three refreshes")
        assert provider.count("") == asked
