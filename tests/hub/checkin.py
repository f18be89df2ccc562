"""A hub whose users log in at the tests' provider, configured by the documentation's fragments."""

import re
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from accounting.simulation.stores.engines import free_port
from tests.hub.process import wait_for
from tests.hub.provider import CLIENT_SECRET, Provider
from tests.hub.rig import PYTHONS, ROOT, Hub, new_url, run_hub

FRAGMENTS = ROOT / "docs" / "hub"
CLIENT = "notebooks"
VO = "urn:mace:egi.eu:group:vo.example.org:role=member#aai.egi.eu"
TRAINING = "urn:mace:egi.eu:group:training.example.org:role=member#aai.egi.eu"

_TESTS = """
c.JupyterHub.authenticator_class = "hub.authenticator.{name}"
c.{name}.issuer = {issuer!r}
c.{name}.request_seconds = 3
c.Authenticator.auth_refresh_age = 1
c.JupyterHub.spawner_class = "tests.hub.spawner.TokenSpawner"
c.SimpleLocalProcessSpawner.home_dir_template = {folder!r} + "/home"
c.TokenSpawner.tokens_folder = {folder!r}
c.Spawner.options_form = "<p>What shall it be?</p>"
c.JupyterHub.allow_named_servers = True
"""

_COUNTING = """
CREATE TABLE tests_writes (name TEXT);
CREATE TRIGGER tests_counting AFTER UPDATE OF encrypted_auth_state ON users
BEGIN INSERT INTO tests_writes VALUES (new.name); END;
"""


@dataclass(frozen=True)
class Site:
    """A hub and its provider."""

    hub: Hub
    provider: Provider

    def tokens(self, name: str) -> tuple[str, str]:
        """The access and the id token that a user's servers were given last."""
        access_token, id_token = self._note(str(self.user_id(name))).split("\n")
        return access_token, id_token

    def server_token(self, name: str, server: str = "") -> str:
        """The token with which a user's running server knows itself."""
        return self._note(f"{self.user_id(name)}-{server}-server")

    def _note(self, name: str) -> str:
        return (self.hub.folder / name).read_text(encoding="utf-8")

    def written(self, name: str) -> bytes:
        """What the hub's database keeps of a user's login: encrypted, anew with each writing."""
        with sqlite3.connect(self.hub.folder / "jupyterhub.sqlite") as database:
            query = "SELECT encrypted_auth_state FROM users WHERE name = ?"
            return bytes(database.execute(query, [name]).fetchone()[0])

    @contextmanager
    def writes(self, name: str) -> Iterator[Callable[[], int]]:
        """Count how often the hub writes a user's login to its database meanwhile."""
        path = self.hub.folder / "jupyterhub.sqlite"
        with closing(sqlite3.connect(path, timeout=30)) as database:
            database.executescript(_COUNTING)

            def counted() -> int:
                query = "SELECT count(*) FROM tests_writes WHERE name = ?"
                return int(database.execute(query, [name]).fetchone()[0])

            yield counted
            database.executescript("DROP TRIGGER tests_counting; DROP TABLE tests_writes;")

    def user_id(self, name: str) -> int:
        """The number of a user in the hub's database."""

        with sqlite3.connect(self.hub.folder / "jupyterhub.sqlite") as database:
            found = database.execute("SELECT id FROM users WHERE name = ?", [name]).fetchone()
        return int(found[0])


@dataclass(frozen=True)
class Setup:
    """How `run_site` sets a hub up; its arguments of the same names.

    Attributes:
        services: Paths of services that answer 401 to nobody once they are there: waited for.
    """

    config: str = ""
    fragments: tuple[str, ...] = ("checkin",)
    name: str = "EGICheckinAuthenticator"
    replacing: Mapping[str, str] = field(default_factory=dict)
    services: tuple[str, ...] = ()

    def wait(self, site: Site) -> None:
        """Wait until the services are there."""
        for path in self.services:
            url = f"{site.hub.url}services/{path}"
            wait_for(lambda url=url: httpx.get(url, timeout=60).status_code == 401, url)  # type: ignore[misc]


@contextmanager
def run_site(
    folder: Path,
    provider: Provider,
    config: str = "",
    *,
    version: str = "6",
    fragments: tuple[str, ...] = ("checkin",),
    name: str = "EGICheckinAuthenticator",
    replacing: Mapping[str, str] | None = None,
) -> Iterator[Site]:
    """A hub with these fragments of docs/hub, then `config`.

    Args:
        folder: What it writes.
        provider: Where users log in.
        config: More configuration; wins.
        version: Of JupyterHub.
        fragments: Names of files in docs/hub, without their ending.
        name: The authenticator's class.
        replacing: Pieces of the fragments' text by what stands there for this test.
    """
    url = new_url()
    provider.client(CLIENT, [f"{url}hub/oauth_callback"])
    texts = [(FRAGMENTS / f"{fragment}.py").read_text(encoding="utf-8") for fragment in fragments]
    texts = [re.sub(r"127\.0\.0\.1:\d+", _free_address, text) for text in texts]
    for piece, other in (replacing or {}).items():
        texts = [text.replace(piece, other) for text in texts]
    tests = _TESTS.format(name=name, issuer=provider.issuer, folder=str(folder))
    environment = {"EGICHECKIN_CLIENT_ID": CLIENT, "EGICHECKIN_CLIENT_SECRET": CLIENT_SECRET}
    whole = "\n".join([*texts, tests, config])
    with run_hub(folder, whole, url=url, python=PYTHONS[version], environment=environment) as hub:
        yield Site(hub, provider)


def _free_address(_: re.Match[str]) -> str:
    """The fragments' services listen where nobody else does."""
    return f"127.0.0.1:{free_port()}"
