"""A real JupyterHub with the service registered, and people in it."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import quote

import httpx

from accounting.simulation.stores.engines import free_port

SERVICE_TOKEN = "the-services-own-token-at-the-hub"
OWN_TOKEN = "the-token-of-the-service-on-its-own-host"
RENDERED_TOKEN = "the-token-of-the-service-as-its-chart-has-it"
MAKER_TOKEN = "the-token-of-who-makes-tokens"
PASSWORD = "the-password-of-all"
PROXY = Path(__file__).parent.parent / "node/node_modules/.bin/configurable-http-proxy"
PEOPLE = ("boss", "mia", "ada", "bob", "aux")


@dataclass(frozen=True)
class Hub:
    """Where it is: ``url`` for browsers, ``api`` for programs.

    ``notebook_port`` is where somebody's own server answers below the hub's address, at
    ``/services/notebook/``, as ``/user/NAME/`` would.
    """

    url: str
    api: str
    service_port: int
    own_port: int
    notebook_port: int

    @property
    def own_url(self) -> str:
        """A host name of the service's own: below the same domain as the hub's, ``named_url``."""
        return f"http://accounting.example.localhost:{self.own_port}"

    @property
    def named_url(self) -> str:
        """The hub's address by a name, as browsers resolve it."""
        return self.url.replace("127.0.0.1", "hub.example.localhost")

    def ask(self, method: str, path: str, **more: object) -> httpx.Response:
        headers = {"Authorization": f"token {MAKER_TOKEN}"}
        return httpx.request(method, self.api + path, headers=headers, timeout=120, **more)  # type: ignore[arg-type] # httpx's own

    def token_of(self, user: str, *scopes: str) -> str:
        """A token of a user; with all that the user may, if no scopes are given."""
        wanted = {"scopes": scopes} if scopes else {}
        answer = self.ask("POST", f"/users/{quote(user)}/tokens", json=wanted)
        answer.raise_for_status()
        return str(answer.json()["token"])

    def revoke_all(self, user: str) -> None:
        """End all tokens of a user."""
        found = self.ask("GET", f"/users/{quote(user)}/tokens").json()["api_tokens"]
        for token in found:
            self.ask("DELETE", f"/users/{quote(user)}/tokens/{token['id']}").raise_for_status()


_CONFIG = """
c.JupyterHub.bind_url = "http://127.0.0.1:{public}"
c.JupyterHub.hub_bind_url = "http://127.0.0.1:{hub}"
c.ConfigurableHTTPProxy.command = [{proxy!r}]
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{control}"
c.JupyterHub.authenticator_class = "dummy"
c.DummyAuthenticator.password = {password!r}
c.Authenticator.allow_all = True
c.Authenticator.admin_users = {{"boss"}}
c.JupyterHub.load_groups = {{
    "urn:mace:egi.eu:group:physics:role=manager#aai.egi.eu": {{"users": ["mia"]}},
    "urn:mace:egi.eu:group:biology#aai.egi.eu": {{"users": ["mia", "ada"]}},
    "accountants": {{"users": ["aux"]}},
}}
c.JupyterHub.services = [
    {{
        "name": "accounting",
        "url": "http://127.0.0.1:{service}",
        "api_token": {service_token!r},
        "oauth_no_confirm": True,
    }},
    {{"name": "maker", "api_token": {maker_token!r}}},
    {{
        "name": "accounting-own",
        "api_token": {own_token!r},
        "oauth_client_id": "service-accounting-own",
        "oauth_redirect_uri": "http://accounting.example.localhost:{own}/oauth_callback",
        "oauth_no_confirm": True,
    }},
    {{
        "name": "accounting-rendered",
        "api_token": {rendered_token!r},
        "oauth_client_id": "service-accounting-rendered",
        "oauth_redirect_uri": "https://accounting.notebooks.example.org/oauth_callback",
        "oauth_no_confirm": True,
    }},
    {{"name": "notebook", "url": "http://127.0.0.1:{notebook}", "api_token": "x" * 40}},
]
c.JupyterHub.load_roles = [
    {{"name": "user", "scopes": [
        "self", "access:services!service=accounting", "access:services!service=accounting-own",
        "access:services!service=accounting-rendered",
    ]}},
    {{"name": "maker", "services": ["maker"],
      "scopes": ["admin:users", "tokens", "access:services!service=accounting"]}},
]
c.JupyterHub.db_url = "sqlite://"
c.JupyterHub.cookie_secret_file = {folder!r} + "/cookie_secret"
"""


@contextmanager
def run_hub(folder: Path) -> Iterator[Hub]:
    """A hub on free ports, stopped at the end; its people can log in."""
    public, hub, control, service, own, notebook = (free_port() for _ in range(6))
    config = folder / "jupyterhub_config.py"
    config.write_text(
        _CONFIG.format(
            public=public,
            hub=hub,
            control=control,
            service=service,
            own=own,
            notebook=notebook,
            own_token=OWN_TOKEN,
            rendered_token=RENDERED_TOKEN,
            proxy=str(PROXY),
            password=PASSWORD,
            service_token=SERVICE_TOKEN,
            maker_token=MAKER_TOKEN,
            folder=str(folder),
        )
    )
    url, api = f"http://127.0.0.1:{public}", f"http://127.0.0.1:{hub}/hub/api"
    found = Hub(url, api, service, own, notebook)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("JUPYTERHUB_")}
    with (
        (folder / "hub.log").open("w") as log,
        subprocess.Popen(
            [sys.executable, "-m", "jupyterhub", "-f", str(config)],
            cwd=folder,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
        ) as process,
    ):
        try:
            # The hub waits half a minute for a service that is not up.
            with _answering(service), _answering(notebook):
                _wait(found, folder / "hub.log", process)
            for user in PEOPLE:
                found.ask("POST", f"/users/{user}")
            yield found
        finally:
            process.terminate()
            process.wait(30)


class _Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def _answering(port: int) -> Iterator[None]:
    server = ThreadingHTTPServer(("127.0.0.1", port), _Answer)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _wait(hub: Hub, log: Path, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(f"{hub.url}/hub/health", timeout=5).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.2)
    raise AssertionError(f"the hub did not start: {log.read_text()[-3000:]}")


def log_in(hub: Hub, browser: httpx.Client, user: str) -> None:
    """Log a browser in at the hub."""
    browser.get(f"{hub.url}/hub/login")
    answer = browser.post(
        f"{hub.url}/hub/login",
        params={"_xsrf": browser.cookies.get("_xsrf", path="/hub/")},
        data={"username": user, "password": PASSWORD},
        follow_redirects=False,  # to the user's own server, which is not ours to start
    )
    assert answer.status_code == 302, answer.text[:500]
