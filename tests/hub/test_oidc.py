"""Endpoints and keys of a provider: asked for seldom, kept when it is away, never another's."""

import asyncio
import time
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import jwt
import pytest

from hub.oidc.discovery import Discovery, endpoints_of, well_known
from hub.oidc.errors import InvalidToken, Refused, Unavailable
from hub.oidc.patience import Patience
from hub.oidc.tokens import Keys, check_audience, check_introspection, verified
from tests.hub.provider import new_key

ISSUER = "https://aai.example.org/auth/realms/egi"
DOCUMENT = {
    "issuer": ISSUER,
    "authorization_endpoint": f"{ISSUER}/auth",
    "token_endpoint": f"{ISSUER}/token",
    "userinfo_endpoint": f"{ISSUER}/userinfo",
    "jwks_uri": f"{ISSUER}/certs",
    "introspection_endpoint": f"{ISSUER}/introspect",
}


class Source:
    """Where a `Fetch` reads from: answers one after the other, the last one for ever."""

    def __init__(self, *answers: Mapping[str, Any] | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def __call__(self, url: str) -> Mapping[str, Any]:
        self.asked.append(url)
        await asyncio.sleep(0)
        answer = self.answers[0] if len(self.answers) == 1 else self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_many_who_ask_at_once_make_one_request() -> None:
    source = Source(DOCUMENT)

    async def ask() -> None:
        discovery = Discovery(ISSUER, source)
        found = await asyncio.gather(*(discovery.endpoints() for _ in range(20)))
        assert {endpoints.token for endpoints in found} == {f"{ISSUER}/token"}
        assert found[0].revocation == ""

    asyncio.run(ask())
    assert source.asked == [well_known(ISSUER)]


def test_endpoints_are_asked_for_again_after_an_hour_and_kept_while_that_fails() -> None:
    clock = Clock()
    source = Source(DOCUMENT, Unavailable("away"), {**DOCUMENT, "token_endpoint": f"{ISSUER}/new"})

    async def ask() -> None:
        discovery = Discovery(ISSUER, source, clock)
        await discovery.endpoints()
        clock.now += 3601
        assert (await discovery.endpoints()).token == f"{ISSUER}/token"
        assert (await discovery.endpoints()).token == f"{ISSUER}/token"  # it is too early
        assert len(source.asked) == 2
        clock.now += 1.1
        assert (await discovery.endpoints()).token == f"{ISSUER}/new"

    asyncio.run(ask())


def test_a_provider_that_was_never_there_is_asked_with_growing_pauses() -> None:
    clock = Clock()
    source = Source(Unavailable("away"))

    async def ask() -> list[float]:
        discovery = Discovery(ISSUER, source, clock)
        times: list[float] = []
        while len(times) < 9:
            before = len(source.asked)
            with pytest.raises(Unavailable):
                await discovery.endpoints()
            if len(source.asked) > before:
                times.append(clock.now)
            clock.now += 0.5
        return times

    times = asyncio.run(ask())
    pauses = [round(b - a) for a, b in pairwise(times)]
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]
    assert set(source.asked) == {well_known(ISSUER)}  # and no other host


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"issuer": "https://aai-demo.example.org/auth/realms/egi"}, "speaks for"),
        ({"token_endpoint": "https://elsewhere.example.org/token"}, "another host"),
        ({"jwks_uri": "http://aai.example.org/certs"}, "another host"),
    ],
)
def test_a_document_that_leads_elsewhere_is_not_followed(
    change: dict[str, str], reason: str
) -> None:
    with pytest.raises(Unavailable, match=reason):
        endpoints_of({**DOCUMENT, **change}, ISSUER)


def test_a_refused_document_is_as_good_as_none() -> None:
    async def ask() -> None:
        with pytest.raises(Unavailable, match="404"):
            await Discovery(ISSUER, Source(Refused("answered 404"))).endpoints()

    asyncio.run(ask())


def test_patience_starts_anew_after_a_success() -> None:
    clock = Clock()
    patience = Patience("somebody", clock)
    patience.check()
    patience.failed()
    patience.failed()
    with pytest.raises(Unavailable, match="asking again in 2 s"):
        patience.check()
    patience.succeeded()
    patience.check()


# Keys and tokens

KEY, OTHER = new_key(), new_key()


def public(*keys: Mapping[str, Any]) -> dict[str, Any]:
    names = ("kty", "n", "e", "kid", "use", "alg")
    return {"keys": [{name: key[name] for name in names} for key in keys]}


def keys_from(source: Source, clock: Clock | None = None) -> Keys:
    async def url() -> str:
        return f"{ISSUER}/certs"

    return Keys(url, source, clock or Clock())


def token(key: Mapping[str, Any] = KEY, **claims: object) -> str:
    """A token that holds, but for what `claims` changes; None takes a claim away."""
    usual = {"iss": ISSUER, "sub": "1", "exp": time.time() + 60, "azp": "notebooks"}
    body = {name: value for name, value in {**usual, **claims}.items() if value is not None}
    return jwt.encode(body, jwt.PyJWK(dict(key)), "RS256", headers={"kid": key["kid"]})


def test_a_good_token_has_its_claims() -> None:
    claims = asyncio.run(verified(token(), keys_from(Source(public(KEY))), ISSUER))
    assert claims["sub"] == "1"


@pytest.mark.parametrize(
    "wrong",
    [
        {"iss": "https://other.example.org"},
        {"iss": None},
        {"exp": 1},
        {"exp": None},
        {"nbf": 4_000_000_000},
        {"typ": "ID"},
        {"typ": "Refresh"},
    ],
    ids=str,
)
def test_a_token_with_a_wrong_claim_does_not_hold(wrong: dict[str, object]) -> None:
    with pytest.raises(InvalidToken):
        asyncio.run(verified(token(KEY, **wrong), keys_from(Source(public(KEY))), ISSUER))


def test_another_keys_signature_under_a_known_id_does_not_hold() -> None:
    forged = token({**OTHER, "kid": KEY["kid"]})
    with pytest.raises(InvalidToken, match="Signature"):
        asyncio.run(verified(forged, keys_from(Source(public(KEY))), ISSUER))


def test_an_unknown_key_makes_us_look_but_not_in_a_loop() -> None:
    clock = Clock()
    source = Source(public(KEY), public(OTHER))
    keys = keys_from(source, clock)

    async def ask() -> None:
        await keys.get(KEY["kid"])
        for _ in range(5):
            with pytest.raises(InvalidToken):
                await keys.get(OTHER["kid"])
        assert len(source.asked) == 1
        clock.now += 6
        await keys.get(OTHER["kid"])
        with pytest.raises(InvalidToken):
            await keys.get(KEY["kid"])  # it was withdrawn

    asyncio.run(ask())


def test_known_keys_serve_while_the_provider_is_away() -> None:
    clock = Clock()
    keys = keys_from(Source(public(KEY), Unavailable("away")), clock)

    async def ask() -> None:
        await keys.get(KEY["kid"])
        clock.now += 7200
        await keys.get(KEY["kid"])
        with pytest.raises(Unavailable):
            await keys.get(OTHER["kid"])

    asyncio.run(ask())


@pytest.mark.parametrize("document", [{}, {"keys": "none"}, {"keys": [{"kty": "oct"}]}])
def test_keys_that_cannot_be_read_are_an_absent_provider(document: dict[str, Any]) -> None:
    with pytest.raises(Unavailable, match="JWKS"):
        asyncio.run(keys_from(Source(document)).get("x"))


@pytest.mark.parametrize(
    ("claims", "good"),
    [
        ({"aud": "us"}, True),
        ({"aud": ["them", "us"]}, True),
        ({"aud": "them"}, False),
        ({"azp": "ours"}, True),
        ({"client_id": "ours"}, True),
        ({"azp": "theirs", "client_id": "ours"}, False),
        ({}, False),
    ],
)
def test_a_token_is_for_us_or_of_a_trusted_client(claims: dict[str, Any], good: bool) -> None:
    if good:
        check_audience(claims, ["us"], ["ours"])
    else:
        with pytest.raises(InvalidToken):
            check_audience(claims, ["us"], ["ours"])


@pytest.mark.parametrize("answer", [{}, {"active": False}, {"active": "true"}, {"active": 1}])
def test_only_active_true_is_active(answer: dict[str, Any]) -> None:
    check_introspection({"sub": "1"}, {"active": True, "sub": "1"})
    with pytest.raises(InvalidToken):
        check_introspection({"sub": "1"}, answer)


def test_an_introspection_of_somebody_else_is_refused() -> None:
    with pytest.raises(InvalidToken, match="somebody else"):
        check_introspection({"sub": "1"}, {"active": True, "sub": "2"})
