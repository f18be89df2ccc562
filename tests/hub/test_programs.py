"""Programs with an access token: login without a browser, and tokens that are replaced."""

import time
from pathlib import Path

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.hub.checkin import CLIENT, TRAINING, VO, Setup, Site, run_site
from tests.hub.provider import CLIENT_SECRET, Provider
from tests.hub.visitor import Visitor

SCOPE = "openid profile entitlements offline_access"
CONFIG = """
c.Authenticator.auth_refresh_age = 300
c.EGICheckinAuthenticator.jwt_clients = ["notebooks", "trusted"]
c.EGICheckinAuthenticator.allowed_users = {"service-account-robot", "service-account-notebooks"}
c.EGICheckinAuthenticator.basic_auth = True
"""


@pytest.fixture(scope="module")
def setup(provider: Provider) -> Setup:
    provider.client("trusted", ["http://127.0.0.1:1/"])
    provider.client("untrusted", ["http://127.0.0.1:1/"])
    return Setup(CONFIG, ("checkin", "programs", "sharing"))


def login(site: Site, token: str) -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.get(f"{site.hub.url}hub/jwt_login", headers=headers, timeout=60)


def access_token(site: Site, name: str, client: str = CLIENT, **wanted: object) -> str:
    site.provider.user(name, entitlements=[VO])
    return site.provider.tokens(name, client, **{"scope": SCOPE, **wanted})["access_token"]  # type: ignore[arg-type]


def claims(site: Site, **changed: object) -> dict[str, object]:
    now = int(time.time())
    usual = {"iss": site.provider.issuer, "sub": "mallory", "azp": CLIENT, "typ": "Bearer"}
    return {**usual, "iat": now, "exp": now + 600, "jti": "forged", **changed}


def forged(site: Site, **changed: object) -> str:
    """A token under the id of the provider's key, signed by another one."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    known = jwt.get_unverified_header(access_token(site, "anna"))["kid"]
    return jwt.encode(claims(site, **changed), key, algorithm="RS256", headers={"kid": known})


def test_a_program_gets_a_token_that_starts_uses_and_stops_servers(site: Site) -> None:
    answer = login(site, access_token(site, "anna"))
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    assert "Set-Cookie" not in answer.headers
    body = answer.json()
    assert body["user"] == "anna"
    assert 3500 < body["expires_in"] <= 3600
    token = body["token"]
    assert site.hub.api("GET", "/user", token=token).json()["groups"] == [VO]
    assert site.hub.api("POST", "/users/anna/server", token=token).status_code in {201, 202}
    site.hub.start_server("anna")
    headers = {"Authorization": f"token {token}"}
    assert httpx.get(f"{site.hub.url}user/anna/api", headers=headers, timeout=60).status_code == 200
    assert site.hub.api("DELETE", "/users/anna/server", token=token).status_code in {202, 204}


def test_a_programs_token_opens_nothing_else(site: Site) -> None:
    token = login(site, access_token(site, "anna")).json()["token"]
    site.hub.add_user("berta")
    assert site.hub.api("GET", "/users/berta", token=token).status_code == 404
    assert site.hub.api("POST", "/users/anna/tokens", token=token).status_code in {403, 404}
    assert site.hub.api("DELETE", "/users/anna", token=token).status_code in {403, 404}
    assert "auth_state" not in site.hub.api("GET", "/users/anna", token=token).json()


def test_the_token_may_come_in_a_form_and_not_in_the_url(site: Site) -> None:
    url = f"{site.hub.url}hub/jwt_login"
    token = access_token(site, "anna")
    assert httpx.post(url, data={"access_token": token}, timeout=60).json()["user"] == "anna"
    refused = httpx.get(url, params={"access_token": token}, timeout=60)
    assert refused.status_code == 401
    assert refused.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize(
    "wrong",
    [
        {"iss": "https://aai.example.org/auth/realms/egi"},
        {"exp": 1_000_000_000},
        {"azp": "untrusted"},
        {"typ": "ID"},
        {},  # signed as it should be, and never issued: introspection says so
    ],
    ids=["issuer", "expired", "client", "id-token", "inactive"],
)
def test_a_token_with_something_wrong_is_refused(site: Site, wrong: dict[str, object]) -> None:
    site.provider.user("mallory", entitlements=[VO])
    answer = login(site, site.provider.signed(**claims(site, **wrong)))
    assert answer.status_code == 401
    assert "invalid_token" in answer.headers["WWW-Authenticate"]
    assert site.hub.api("GET", "/users/mallory").status_code == 404


@pytest.mark.parametrize("algorithm", ["none", "HS256"])
def test_only_signatures_by_key_pairs_count(site: Site, algorithm: str) -> None:
    key = "" if algorithm == "none" else CLIENT_SECRET * 2
    token = jwt.encode(claims(site), key, algorithm=algorithm, headers={"kid": "x"})
    assert login(site, token).status_code == 401


def test_a_forged_signature_is_refused_whatever_the_introspection_says(site: Site) -> None:
    site.provider.user("mallory", entitlements=[VO])
    site.provider.set(introspection={"active": True})
    assert login(site, forged(site)).status_code == 401
    assert login(site, "no.jwt.atall").status_code == 401


def test_a_revoked_token_is_refused(site: Site) -> None:
    token = access_token(site, "anna")
    site.provider.revoke(token)
    assert login(site, token).status_code == 401


def test_tokens_of_trusted_clients_and_for_our_audience_are_taken(site: Site) -> None:
    assert login(site, access_token(site, "anna", "trusted")).status_code == 200
    assert login(site, access_token(site, "anna", "untrusted")).status_code == 401
    site.provider.set(audience=CLIENT)
    assert login(site, access_token(site, "anna", "untrusted")).status_code == 200


def test_keys_may_be_rotated(site: Site) -> None:
    assert login(site, access_token(site, "anna")).status_code == 200
    old = access_token(site, "anna")
    deadline = time.monotonic() + 60
    site.provider.rotate_keys()
    token = access_token(site, "anna")
    while login(site, token).status_code != 200:  # keys are read at most every few seconds
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert login(site, old).status_code == 401


def test_a_user_without_a_name_does_not_become_the_client(site: Site) -> None:
    site.provider.user("nameless", preferred_username=None, entitlements=[VO])
    token = site.provider.tokens("nameless", CLIENT, scope=SCOPE)["access_token"]
    assert login(site, token).status_code == 403
    assert site.hub.api("GET", f"/users/{CLIENT}").status_code == 404


def test_a_program_of_its_own_gets_the_clients_name_with_a_prefix(site: Site) -> None:
    form = {"grant_type": "client_credentials"}
    token = httpx.post(
        site.provider.endpoint("token"), data=form, auth=(CLIENT, CLIENT_SECRET), timeout=60
    ).json()["access_token"]
    assert login(site, token).json()["user"] == f"service-account-{CLIENT}"


def test_somebody_in_no_allowed_group_gets_no_token(site: Site) -> None:
    site.provider.user("otto", entitlements=["urn:x:group:other"])
    token = site.provider.tokens("otto", CLIENT, scope=SCOPE)["access_token"]
    assert login(site, token).status_code == 403


def test_while_the_provider_is_away_programs_are_told_to_come_again(site: Site) -> None:
    token = access_token(site, "anna")
    site.provider.set(silent_paths=["/auth/realms/egi/protocol/openid-connect/token/introspect"])
    answer = login(site, token)
    assert answer.status_code == 503
    assert answer.headers["Retry-After"]


def test_a_browsers_session_outlasts_a_programs_login_with_fewer_scopes(site: Site) -> None:
    site.provider.user("carl", entitlements=[VO, TRAINING])
    with Visitor(site.hub) as visitor:
        visitor.login("carl")
    before = site.hub.user("carl")["auth_state"]
    token = site.provider.tokens("carl", CLIENT, scope="openid profile")["access_token"]
    assert login(site, token).status_code == 200
    after = site.hub.user("carl")
    assert after["auth_state"]["refresh_token"] == before["refresh_token"]
    assert set(after["groups"]) == {VO, TRAINING}


def revoke(site: Site, name: str, *scopes: str) -> httpx.Response:
    token = site.hub.token_of(name, scopes=list(scopes))
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.post(f"{site.hub.url}hub/token_revoke", headers=headers, timeout=60)


SCOPE_TO_REVOKE = "custom:token-acquirer:read"


def logged_in(site: Site, name: str) -> dict[str, str]:
    site.provider.user(name, entitlements=[VO])
    with Visitor(site.hub) as visitor:
        visitor.login(name)
    return dict(site.hub.user(name)["auth_state"])


def test_a_token_is_replaced_and_the_old_one_revoked(site: Site) -> None:
    before = logged_in(site, "dina")
    site.hub.start_server("dina")
    assert revoke(site, "dina", SCOPE_TO_REVOKE).json() == {"revoked": True}
    after = site.hub.user("dina")["auth_state"]
    assert site.tokens("dina")[0] == after["access_token"]
    assert login(site, before["access_token"]).status_code == 401
    assert login(site, after["access_token"]).status_code == 200


def test_revoking_needs_its_scope(site: Site) -> None:
    before = logged_in(site, "egon")
    answer = revoke(site, "egon", "read:users!user")
    assert answer.status_code == 403
    assert SCOPE_TO_REVOKE in answer.json()["message"]
    assert site.hub.user("egon")["auth_state"]["access_token"] == before["access_token"]


def test_a_page_elsewhere_cannot_make_a_browser_revoke(site: Site) -> None:
    site.provider.user("fine", entitlements=[VO])
    with Visitor(site.hub) as visitor:
        visitor.login("fine")
        answer = visitor.post(
            "hub/token_revoke", headers={"Origin": "https://elsewhere.example.org"}
        )
        assert answer.status_code == 403
        assert "xsrf" in answer.text.lower()


@pytest.mark.parametrize("how", ["away", "session over"])
def test_without_a_fresh_token_nothing_is_revoked_and_it_says_so(site: Site, how: str) -> None:
    before = logged_in(site, "gert")
    if how == "away":
        site.provider.set(silent_paths=["/auth/realms/egi/protocol/openid-connect/token"])
    else:
        site.provider.revoke(before["refresh_token"])
    revocations = site.provider.count("/revoke")
    answer = revoke(site, "gert", SCOPE_TO_REVOKE)
    assert answer.status_code == 503
    assert answer.json()["message"].startswith("Nothing was revoked")
    assert site.hub.user("gert")["auth_state"]["access_token"] == before["access_token"]
    assert site.provider.count("/revoke") == revocations


def test_a_revocation_that_fails_says_that_the_old_token_still_works(site: Site) -> None:
    before = logged_in(site, "hugo")
    site.provider.set(silent_paths=["/auth/realms/egi/protocol/openid-connect/revoke"])
    answer = revoke(site, "hugo", SCOPE_TO_REVOKE)
    assert answer.status_code == 502
    assert site.hub.user("hugo")["auth_state"]["access_token"] != before["access_token"]


def test_in_the_eosc_node_an_access_token_is_exchanged_for_a_refresh_token(
    provider: Provider, tmp_path: Path, jupyterhub: str
) -> None:
    """The new token comes in `access_token` (RFC 8693, 2.2.1); some providers send both."""
    config = f"""
c.EOSCNodeAuthenticator.client_id = {CLIENT!r}
c.EOSCNodeAuthenticator.client_secret = {CLIENT_SECRET!r}
c.EOSCNodeAuthenticator.jwt_exchange = True
"""
    groups = ["urn:geant:example.org:group:staff", "urn:geant:example.org:group:pp-4711"]
    with run_site(
        tmp_path,
        provider,
        config,
        version=jupyterhub,
        fragments=("eosc",),
        name="EOSCNodeAuthenticator",
    ) as site:
        for name, exchange, lasts in (
            ("ines", "rfc", True),
            ("iris", "both", True),
            ("isa", "alone", True),
            ("ida", "access", False),
            ("inga", "somebody", False),
            ("ilva", "odd", False),
            ("ilka", "refused", False),
        ):
            site.provider.set(exchange=exchange)
            site.provider.user(name, entitlements=groups)
            tokens = site.provider.tokens(name, CLIENT, scope=SCOPE, seconds=600)
            answer = login(site, tokens["access_token"])
            assert answer.status_code == 200, exchange
            # With a refresh token, the login may outlast the access token.
            assert (answer.json()["expires_in"] == 3600) is lasts
            state = site.hub.user(name)["auth_state"]
            assert bool(state["refresh_token"]) is lasts
            assert state["access_token"] == tokens["access_token"]
            assert state["primary_group"] == "pp-4711"
