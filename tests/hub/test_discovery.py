"""An authenticator learns a real provider's endpoints, when it can and where it may."""

import asyncio
import time

import pytest

from hub.authenticator import EGICheckinAuthenticator
from hub.oidc.errors import Unavailable
from tests.hub.provider import Provider


def test_what_is_configured_wins_over_what_is_discovered(provider: Provider) -> None:
    async def work() -> None:
        elsewhere = "https://elsewhere.example.org/token"
        authenticator = EGICheckinAuthenticator(issuer=provider.issuer, token_url=elsewhere)
        await authenticator.discover()
        assert authenticator.token_url == elsewhere
        assert authenticator.userdata_url == provider.endpoint("userinfo")
        assert authenticator.revoke_url == provider.endpoint("revoke")

    asyncio.run(work())


@pytest.mark.parametrize("mode", ["gone", "broken", "silent"])
def test_a_provider_that_comes_late_is_found_and_nobody_waits_for_it(
    provider: Provider, mode: str
) -> None:
    async def work() -> None:
        authenticator = EGICheckinAuthenticator(issuer=provider.issuer, request_seconds=0.5)
        provider.set(mode=mode)
        with pytest.raises(Unavailable, match=provider.host):
            await authenticator.discover()
        before = provider.count("openid-configuration")
        with pytest.raises(Unavailable, match="asking again"):
            await authenticator.discover()
        assert provider.count("openid-configuration") == before
        provider.set(mode="up")
        deadline = time.monotonic() + 60
        while not authenticator.token_url:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.1)
            try:
                await authenticator.discover()
            except Unavailable:
                continue
        assert authenticator.token_url == provider.endpoint("token")

    asyncio.run(work())
