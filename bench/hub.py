"""Logins by the real JupyterHub and the tests' provider, and what they do to the event loop."""

import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

from bench.figures import Figure
from bench.loop import stops
from tests.hub.checkin import CLIENT, VO, Site, run_site
from tests.hub.provider import run_provider
from tests.hub.visitor import Visitor

LOGIN_SECONDS = 1.5
STOP_MILLISECONDS = 50.0
AT_ONCE = 4
LOGINS_PER_ROUND = 4
_SCOPE = "openid profile entitlements offline_access"
_CONFIG = """
from pathlib import Path
from bench.loop import Watch
watch = Watch(Path({path!r}))
c.EGICheckinAuthenticator.token_margin_seconds = 60
"""


def measure(rounds: int) -> list[Figure]:
    """Time logins of users one by one, then of many at once and of programs, then an outage."""
    with tempfile.TemporaryDirectory(prefix="bench-hub-") as name:
        folder = Path(name)
        noted = folder / "stops"
        config = _CONFIG.format(path=str(noted))
        with run_provider(folder) as provider, run_site(folder / "hub", provider, config) as site:
            _login(site, "first")  # templates are compiled, the provider discovered
            noted.unlink(missing_ok=True)
            alone = _median(lambda n: _login(site, f"alone-{n}"), rounds)
            programs = _median(lambda n: _program(site, f"alone-{n}"), rounds)
            with ThreadPoolExecutor(AT_ONCE) as pool:
                many = range(rounds * LOGINS_PER_ROUND)
                list(pool.map(lambda n: _login(site, f"many-{n}"), many))
                list(pool.map(lambda n: _refresh(site, f"many-{n}"), many))
                provider.set(mode="silent")
                time.sleep(1)  # so that all are due
                list(pool.map(lambda n: _refresh(site, f"many-{n}"), many))
            ours, every = stops(noted)
    return [
        Figure(
            "login, consent, spawn page",
            alone,
            "s",
            at_most=LOGIN_SECONDS,
            note="provider's pages included",
        ),
        Figure("a program's login by access token", programs * 1000, "ms"),
        Figure(
            "longest stop of the event loop by hub/",
            ours * 1000,
            "ms",
            at_most=STOP_MILLISECONDS,
            note="without JupyterHub's database; 5 ms is the least seen",
        ),
        Figure("… by anything", every * 1000, "ms", note="JupyterHub's own pages and database"),
    ]


def _median(run: Callable[[int], object], rounds: int) -> float:
    times = []
    for number in range(rounds):
        started = time.perf_counter()
        run(number)
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def _login(site: Site, name: str) -> None:
    site.provider.user(name, entitlements=[VO])
    with Visitor(site.hub) as visitor:
        page = visitor.login(name)
        if not page.is_success or not page.url.path.startswith("/hub/spawn"):
            raise RuntimeError(f"the login ended at {page.url} with {page.status_code}")


def _program(site: Site, name: str) -> None:
    token = site.provider.tokens(name, CLIENT, scope=_SCOPE)["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    httpx.get(f"{site.hub.url}hub/jwt_login", headers=headers, timeout=60).raise_for_status()


def _refresh(site: Site, name: str) -> None:
    token = site.hub.token_of(name)
    site.hub.api("GET", "/user", token=token).raise_for_status()
