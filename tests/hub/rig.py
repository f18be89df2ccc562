"""A real JupyterHub behind configurable-http-proxy, for as long as a `with` lasts."""

import os
import secrets
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from accounting.simulation.stores.engines import free_port
from tests.hub.process import program, wait_for

ROOT = Path(__file__).parents[2]
PROXY = ROOT / "tests" / "node" / "node_modules" / "configurable-http-proxy"
HUB_5 = ROOT / ".venv-hub5" / "bin" / "python"
"""The Python with JupyterHub 5.5; `scripts/venv hub5` makes it."""

PYTHONS: Mapping[str, Path | str] = {"6": sys.executable, "5.5": HUB_5}
"""The Pythons of the JupyterHubs that hub/ runs on."""

_SIMPLE_SPAWNER = """
c.JupyterHub.spawner_class = "tests.hub.keptport.KeptPortSpawner"
c.SimpleLocalProcessSpawner.home_dir_template = {homes!r}
c.Spawner.cmd = [{singleuser!r}]
c.Spawner.args = ["--allow-root"]
c.Spawner.environment = {{
    "JUPYTERHUB_SINGLEUSER_APP": "jupyter_server.serverapp.ServerApp", "PATH": {path!r}
}}
"""

PROGRAMS = str(Path(sys.executable).parent)
"""The path of servers that find no Node.js: JupyterLab would start it thrice, half a second."""

DUMMY_LOGIN = """
c.JupyterHub.authenticator_class = "dummy"
c.DummyAuthenticator.password = "password-of-the-tests"
c.Authenticator.allow_all = True
"""
"""Configuration of a login that takes any user with the one password."""

_CRYPT_KEY = secrets.token_hex(32)  # auth_state can be read by a hub that is started again

# JupyterHub 5.5 waits ten seconds for its services, which is too short on a busy machine.
_ENDING = """
from jupyterhub.objects import Server
_services = c.JupyterHub.services
_listed = _services if isinstance(_services, list) else _services.to_dict().get("extend", [])
_managed = tuple(one["url"] for one in _listed if "command" in one and "url" in one)
_wait_up = Server.wait_up
def _patiently(server, timeout=10, **options):
    return _wait_up(server, 60 if server.url.startswith(_managed) else timeout, **options)
Server.wait_up = _patiently
# Nor does a user's server need to be there within 30 seconds.
for _limit in ("http_timeout", "start_timeout"):
    if _limit not in c.Spawner:
        c.Spawner[_limit] = 240
c.JupyterHub.bind_url = {url!r}
c.JupyterHub.hub_bind_url = "http://127.0.0.1:{hub_port}"
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{proxy_port}"
c.ConfigurableHTTPProxy.command = ["node", {proxy!r}]
c.ConfigurableHTTPProxy.pid_file = {folder!r} + "/proxy.pid"
c.JupyterHub.db_url = "sqlite:///" + {folder!r} + "/jupyterhub.sqlite"
c.JupyterHub.cookie_secret_file = {folder!r} + "/cookie-secret"
c.JupyterHub.services.append({{"name": "tests", "api_token": {token!r}}})
c.JupyterHub.load_roles.append({{
    "name": "tests",
    "scopes": ["admin:users", "admin:servers", "admin:groups", "admin:auth_state", "tokens",
               "list:services", "read:services", "read:hub", "proxy", "shares", "access:services"],
    "services": ["tests"],
}})
"""


@dataclass(frozen=True)
class Hub:
    """A running hub: `url` is the proxy's, with a slash at its end; `token` may do what tests do.

    The token's scopes: administration of users, groups and servers, their auth_state and tokens.
    """

    url: str
    token: str = field(repr=False)
    log: Path
    folder: Path
    pid: int

    @property
    def api_url(self) -> str:
        """The Hub API's base, without a slash at its end."""
        return f"{self.url}hub/api"

    def api(
        self, method: str, path: str, *, token: str | None = None, **options: Any
    ) -> httpx.Response:
        """Ask the Hub API; `path` starts with a slash. Statuses are the caller's to judge."""
        headers = {"Authorization": f"Bearer {token or self.token}"}
        return httpx.request(method, self.api_url + path, headers=headers, timeout=60, **options)

    def user(self, name: str) -> dict[str, Any]:
        """A user's model, with auth_state."""
        return dict(self.api("GET", f"/users/{quote(name, safe='')}").raise_for_status().json())

    def add_user(self, name: str) -> None:
        """Make a user, who need not have logged in."""
        self.api("POST", f"/users/{quote(name, safe='')}").raise_for_status()

    def token_of(self, name: str, **wanted: object) -> str:
        """A new API token of a user; `wanted` goes into the request: `scopes`, `expires_in` …"""
        path = f"/users/{quote(name, safe='')}/tokens"
        answer = self.api("POST", path, json={"note": "tests", **wanted})
        return str(answer.raise_for_status().json()["token"])

    def start_server(self, name: str, server: str = "", **options: object) -> None:
        """Start a user's server, if it is not starting already, and wait until it is ready."""
        path = f"/users/{quote(name, safe='')}/" + (f"servers/{server}" if server else "server")
        if server not in self.user(name)["servers"]:
            self.api("POST", path, json=options).raise_for_status()

        def ready() -> bool:
            return bool(self.user(name)["servers"].get(server, {}).get("ready"))

        wait_for(ready, f"the server {server!r} of {name}")

    def stop_server(self, name: str, server: str = "") -> None:
        """Stop a user's server and wait until it is gone."""
        path = f"/users/{quote(name, safe='')}/" + (f"servers/{server}" if server else "server")
        self.api("DELETE", path).raise_for_status()
        wait_for(
            lambda: server not in self.user(name)["servers"], f"the end of {name}'s {server!r}"
        )


@contextmanager
def run_hub(
    folder: Path,
    config: str,
    *,
    url: str | None = None,
    python: Path | str = sys.executable,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Hub]:
    """A hub with this `jupyterhub_config.py`, ready to serve.

    Addresses, the database and the tests' own service are added at the configuration's end.

    Args:
        folder: Everything it writes; kept between two runs over the same folder.
        config: The text of the configuration file.
        url: Its address, `http://127.0.0.1:PORT/`; a free port by default.
        python: The interpreter whose JupyterHub runs (`HUB_5`).
        environment: More environment variables.
    """
    folder.mkdir(parents=True, exist_ok=True)
    url = url or new_url()
    token = secrets.token_hex(16)
    ending = _ENDING.format(
        url=url,
        hub_port=free_port(),
        proxy_port=free_port(),
        proxy=str(PROXY / "bin" / "configurable-http-proxy"),
        folder=str(folder),
        token=token,
    )
    path = folder / "jupyterhub_config.py"
    path.write_text(config + ending, encoding="utf-8")
    log = folder / "hub.log"
    command = [str(python), "-m", "jupyterhub", "--config", str(path)]
    with program(
        "JupyterHub",
        command,
        log,
        ready=lambda: httpx.get(f"{url}hub/health", timeout=5).is_success,
        environment=_environment(Path(python), environment or {}),
        folder=folder,
    ) as process:
        yield Hub(url, token, log, folder, process.pid)


def new_url() -> str:
    """An address for a hub that must be known before it runs."""
    return f"http://127.0.0.1:{free_port()}/"


def simple_spawner(folder: Path) -> str:
    """Configuration for real single-user servers as the current user, homes below the folder."""
    return _SIMPLE_SPAWNER.format(
        homes=f"{folder}/home/{{username}}",
        singleuser=f"{PROGRAMS}/jupyterhub-singleuser",
        path=PROGRAMS,
    )


def _environment(python: Path, more: Mapping[str, str]) -> dict[str, str]:
    """The test's environment, without its JupyterHub or proxy settings, with the programs' path."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("JUPYTER", "EGICHECKIN"))}
    return {
        **kept,
        "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "JUPYTERHUB_CRYPT_KEY": _CRYPT_KEY,
        **more,
    }
