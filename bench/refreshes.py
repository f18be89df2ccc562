"""Many logins refreshed at once: what the hub answers others meanwhile, on each JupyterHub.

Each request also costs JupyterHub's own work: it looks the token up, writes the user's activity to
its database, and makes the answer. The same requests with nothing to refresh tell how much that is.
The activity is written each time, as for users who come seldom: by default JupyterHub leaves it out
within 30 seconds, so the bursts that follow the first would write nothing.
"""

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import httpx
import psutil

from bench.figures import Figure
from tests.hub.checkin import CLIENT, VO, Site, run_site
from tests.hub.provider import run_provider
from tests.hub.rig import PYTHONS, ROOT

HEALTH_SECONDS = 0.5
_AT_ONCE = 8
_SCOPE = "openid profile entitlements offline_access"
_SOON = 10.0
_CONFIG = """
c.Authenticator.auth_refresh_age = {age}
c.JupyterHub.activity_resolution = 0
c.EGICheckinAuthenticator.request_seconds = 10
"""


@dataclass(frozen=True)
class _Burst:
    """What came of requests of all users that began at once."""

    seconds: float
    failed: int
    health_seconds: float
    hub_milliseconds: float  # of its processor time, per request


def measure(users: int) -> list[Figure]:
    """Ask as so many users at once: their tokens end; nothing is refreshed; all is confirmed."""
    age = max(3, users // 8)  # seconds; longer than one burst
    figures = []
    for version in PYTHONS:
        with (
            tempfile.TemporaryDirectory(prefix="bench-refreshes-") as name,
            run_provider(Path(name)) as provider,
            run_site(
                Path(name) / "hub", provider, _CONFIG.format(age=age), version=version
            ) as site,
        ):
            tokens = _logged_in(site, users)
            began = time.monotonic()
            renewed = _burst(site, tokens)
            without = _burst(site, tokens)
            time.sleep(max(0.0, began + age + renewed.seconds + 1 - time.monotonic()))
            confirmed = _burst(site, tokens)
        figures += [
            *_figures(f"JupyterHub {version}, tokens renewed", renewed, HEALTH_SECONDS),
            *_figures("… confirmed lately", confirmed, HEALTH_SECONDS),
            *_figures("… the same requests, nothing to refresh", without, None),
        ]
    return figures


def _figures(kind: str, burst: _Burst, at_most: float | None) -> list[Figure]:
    return [
        Figure(f"{kind}: /hub/health, longest", burst.health_seconds, "s", at_most=at_most),
        Figure("… all answered after", burst.seconds, "s", note=f"{burst.failed} failed"),
        Figure("… the hub's processor time per request", burst.hub_milliseconds, "ms"),
    ]


def _logged_in(site: Site, users: int) -> list[str]:
    """Make users whose access tokens end soon; their API tokens."""
    names = [f"user-{number}" for number in range(users)]
    site.hub.api("POST", "/users", json={"usernames": names}).raise_for_status()
    site.hub.api("POST", f"/groups/{quote(VO, safe='')}", json={"users": names}).raise_for_status()
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(lambda name: _log_in(site, name), names))
        return list(pool.map(site.hub.token_of, names))


def _log_in(site: Site, name: str) -> None:
    """Give a user the auth_state of a login, whole: what is missing would be news at a refresh."""
    site.provider.user(name, entitlements=[VO])
    tokens = site.provider.tokens(name, CLIENT, scope=_SCOPE)
    about = httpx.get(
        site.provider.endpoint("userinfo"),
        headers={"Authorization": f"Bearer {tokens['access_token']}"},
        timeout=60,
    )
    state = {
        **{key: tokens[key] for key in ("access_token", "refresh_token")},
        "oauth_user": about.raise_for_status().json(),
        "groups": [VO],
        "primary_group": VO,
        "expires_at": time.time() + _SOON,
        "confirmed_at": time.time(),
    }
    answer = site.hub.api("PATCH", f"/users/{name}", json={"auth_state": state})
    answer.raise_for_status()


def _burst(site: Site, tokens: Sequence[str]) -> _Burst:
    hub = psutil.Process(site.hub.pid)
    with _asked(f"{site.hub.url}hub/health") as longest:
        began, used = time.monotonic(), hub.cpu_times()
        failed = asyncio.run(_ask_as_all(f"{site.hub.api_url}/user", tokens))
        seconds, now = time.monotonic() - began, hub.cpu_times()
    milliseconds = 1000 * (now.user + now.system - used.user - used.system) / len(tokens)
    return _Burst(seconds, failed, longest[0], milliseconds)


async def _ask_as_all(url: str, tokens: Sequence[str]) -> int:
    """Ask with all of these tokens at once; how many got no answer of use."""
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(timeout=120, limits=limits) as client:

        async def ask(token: str) -> bool:
            try:
                answer = await client.get(url, headers={"Authorization": f"token {token}"})
            except httpx.HTTPError:
                return False
            return answer.is_success

        return (await asyncio.gather(*(ask(token) for token in tokens))).count(False)


@contextmanager
def _asked(url: str) -> Iterator[list[float]]:
    """Ask a URL over and over meanwhile; the longest answer stands in the list afterwards."""
    command = [sys.executable, "-m", "bench.health", url]
    longest: list[float] = []
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        if process.stdout is not None:
            process.stdout.readline()  # it has got its first answer
        yield longest
        output, _ = process.communicate("")
    if process.returncode:
        raise RuntimeError(f"{url} did not answer")
    longest.append(float(json.loads(output)[0]))
