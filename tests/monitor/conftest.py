"""A real hub with a moody spawner and the monitor as its service, set up as the docs say."""

import os
import secrets
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from accounting.simulation.stores.engines import free_port
from hub.monitor.checks.notebook import NotebookCheck
from hub.monitor.history import History
from hub.monitor.settings import MonitorSettings
from tests.hub.conftest import jupyterhub, provider
from tests.hub.process import program
from tests.hub.rig import DUMMY_LOGIN, PYTHONS, ROOT, Hub, run_hub, simple_spawner
from tests.private import secret

__all__ = ["jupyterhub", "provider"]

PROBE_TOKEN = "the token of the probes"
_HUB = """
import os
c.JupyterHub.spawner_class = "tests.monitor.spawner.MoodySpawner"
c.Spawner.start_timeout = 120
c.JupyterHub.allow_named_servers = True
c.JupyterHub.named_server_limit_per_user = 1
c.JupyterHub.services = [{"name": "status", "url": os.environ["NOTEBOOKS_MONITOR_URL"]}]
c.JupyterHub.tornado_settings = {"slow_spawn_timeout": 1, "slow_stop_timeout": 1}
"""


@dataclass(frozen=True)
class Site:
    """A hub, the monitor's token and service address there, and the spawner's mood."""

    hub: Hub
    token: str = field(repr=False)
    service_url: str
    mood_file: Path
    folder: Path

    def mood(self, mood: str) -> None:
        self.mood_file.write_text(mood)

    def settings(self, **given: object) -> MonitorSettings:
        values = {
            "hub_url": self.hub.url,
            "history_file": self.folder / "monitor.db",
            "start_deadline": 200,
            "page_deadline": 200,
            "kernel_deadline": 200,
            "stop_deadline": 100,
            "slow": 200,
        }
        return MonitorSettings.model_validate({**values, **given})

    def check(self, **given: object) -> NotebookCheck:
        return NotebookCheck(self.settings(**given), self.hub.api_url, self.token)

    def servers(self) -> set[str]:
        answer = self.hub.api("GET", "/users/monitoring?include_stopped_servers=1")
        found = answer.raise_for_status().json()["servers"]
        return {name for name, server in found.items() if name or not server["stopped"]}


@pytest.fixture(scope="module")
def site(jupyterhub: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("monitored")
    token, service_url = secrets.token_hex(16), f"http://127.0.0.1:{free_port()}"
    fragment = (ROOT / "docs" / "hub" / "monitoring.py").read_text(encoding="utf-8")
    config = DUMMY_LOGIN + simple_spawner(folder) + _HUB + fragment
    mood = folder / "mood"
    mood.write_text("well")
    environment = {
        "MOOD": str(mood),
        "NOTEBOOKS_MONITOR_API_TOKEN": token,
        "NOTEBOOKS_MONITOR_URL": service_url,
    }
    with run_hub(folder, config, python=PYTHONS[jupyterhub], environment=environment) as hub:
        yield Site(hub, token, service_url, mood, folder)


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path / "monitor.db", 90)


@pytest.fixture(scope="module")
def service(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The monitor's program as the hub's service, over a prepared history: its address."""
    folder = tmp_path_factory.mktemp("service")
    secret(folder / "probe-token", PROBE_TOKEN)
    environment = {
        **os.environ,
        "JUPYTERHUB_SERVICE_NAME": "monitoring",
        "JUPYTERHUB_SERVICE_PREFIX": "/services/monitoring/",
        "JUPYTERHUB_SERVICE_URL": site.service_url,
        "JUPYTERHUB_API_URL": site.hub.api_url,
        "JUPYTERHUB_API_TOKEN": site.token,
        "JUPYTERHUB_CLIENT_ID": "service-monitoring",
        "NOTEBOOKS_MONITOR_HUB_URL": site.hub.url,
        "NOTEBOOKS_MONITOR_HISTORY_FILE": str(folder / "monitor.db"),
        "NOTEBOOKS_MONITOR_TOKEN_FILE": str(folder / "probe-token"),
        "NOTEBOOKS_MONITOR_INTERVAL": "100h",
    }
    site.mood("well")
    fill(History(folder / "monitor.db", 90))
    command = [str(Path(sys.executable).parent / "notebooks-monitor"), "serve"]
    with program(
        "notebooks-monitor",
        command,
        folder / "log",
        ready=lambda: httpx.get(f"{site.service_url}/healthz", timeout=5).is_success,
        environment=environment,
    ):
        yield f"{site.hub.url}services/monitoring/"


def fill(history: History) -> None:
    """Two days of hourly results, the last one a few seconds old."""
    import time  # noqa: PLC0415 - the page shows ages

    from hub.monitor.result import Run, State  # noqa: PLC0415 - as above

    now = time.time()
    for hour in range(47, -1, -1):
        start = 8 + hour * 7 % 11
        steps = [
            ("clean up", 0.1),
            ("start", float(start)),
            ("page", 0.7 + hour % 3),
            ("kernel", 1.5),
            ("stop", 2.1),
        ]
        state, said = State.OK, f"a notebook was ready in {start} s"
        if hour == 20:
            state, said = State.CRITICAL, "start: the server did not start: no node has room"
            steps = steps[:2]
        if hour in {19, 33}:
            state, said = State.WARNING, "a notebook was ready in 130.0 s, slower than 120 s"
        history.add(Run("notebook", now - hour * 3600 - 30, state, said, tuple(steps)))
