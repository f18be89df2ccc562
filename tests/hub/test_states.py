"""What a refresh makes of the auth_state that it finds, and requests that come all at once."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from traitlets.config import Config

from hub.authenticator import EGICheckinAuthenticator
from hub.authenticator.pacing import pace
from hub.oidc.errors import Unavailable


class User:
    """A user as far as a refresh asks for it."""

    name, id = "alice", 1
    groups: tuple[Any, ...] = ()

    def __init__(self, state: object, encrypted: bytes = b"something") -> None:
        self.encrypted_auth_state = encrypted
        self._state = state

    async def get_auth_state(self) -> object:
        return self._state


def request_of(user: User, token: str | None) -> Any:
    return SimpleNamespace(_jupyterhub_user=user, get_auth_token=lambda: token)


def refreshed(user: User, handler: Any = None) -> Any:
    """What a refresh comes to while the provider is away."""

    class Away(EGICheckinAuthenticator):
        async def ask(self, url: str, label: str = "", **_request: Any) -> dict[str, Any]:
            raise Unavailable(f"{label}: {url}")

    async def work() -> Any:
        config = Config({"Away": {"enable_auth_state": True, "allow_all": True}})
        return await Away(config=config).refresh_user(user, handler)

    return asyncio.run(work())


def test_a_browser_logs_in_again_where_the_key_of_its_auth_state_is_lost() -> None:
    """JupyterHub tells no auth_state then, as of users who never logged in."""
    user = User(None)
    assert refreshed(user, request_of(user, None)) is False
    assert refreshed(user, request_of(user, "a token of the hub")) is True
    assert refreshed(user, request_of(User(None), None)) is True  # somebody else's request
    assert refreshed(user) is True
    nobody = User(None, b"")
    assert refreshed(nobody, request_of(nobody, None)) is True


@pytest.mark.parametrize(
    "state",
    [
        {},
        [],
        {"access_token": None},
        {"access_token": 5},
        {"access_token": "x", "expires_at": "soon", "confirmed_at": "never"},
        {"access_token": "x", "oauth_user": "alice", "token_response": "x"},
        {"access_token": "x", "refresh_token": ["x"], "expires_at": 1},
    ],
    ids=repr,
)
def test_an_auth_state_of_another_make_stops_nobody(state: object) -> None:
    user = User(state)
    assert refreshed(user, request_of(user, None)) is True


def test_others_are_served_between_the_requests_that_come_all_at_once() -> None:
    turns: list[int] = []
    now = 0

    class Handlers:
        def __init__(self, **headers: str) -> None:
            self.request = SimpleNamespace(headers=headers)

        async def prepare(self) -> None:
            turns.append(now)

    pace(Handlers)
    once = Handlers.prepare
    pace(Handlers)
    assert Handlers.prepare is once

    async def work() -> None:
        nonlocal now
        requests = [*(Handlers(Authorization="token x") for _ in range(10))]
        requests += [*(Handlers(Cookie="x=y") for _ in range(10))]
        asked = asyncio.gather(*(request.prepare() for request in requests))
        await asyncio.sleep(0)
        await Handlers().prepare()  # a probe's waits for nobody
        assert len(turns) == 1
        while not asked.done():
            await asyncio.sleep(0)
            now += 1

    asyncio.run(work())
    assert len(turns) == 21
    assert len(set(turns[1:])) == 20
