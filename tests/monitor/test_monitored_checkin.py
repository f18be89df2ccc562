"""The monitor at a hub whose users log in at Check-in: its own user never does."""

import asyncio
from pathlib import Path

from hub.monitor.checks.notebook import NotebookCheck
from hub.monitor.result import State
from hub.monitor.settings import MonitorSettings
from tests.hub.checkin import run_site
from tests.hub.provider import Provider


def test_a_user_who_never_logged_in_is_started_where_logins_are_refreshed_before_each_start(
    provider: Provider, tmp_path: Path, jupyterhub: str
) -> None:
    token = "0123456789abcdef" * 4  # the hub takes no spaces
    replacing = {'os.environ["NOTEBOOKS_MONITOR_API_TOKEN"]': repr(token)}
    config = "c.Authenticator.refresh_pre_spawn = True"
    fragments = ("checkin", "monitoring")
    with run_site(
        tmp_path,
        provider,
        config,
        version=jupyterhub,
        fragments=fragments,
        replacing=replacing,
    ) as site:
        settings = MonitorSettings.model_validate(
            {
                "hub_url": site.hub.url,
                "cell": "",
                "start_deadline": 300,
                "page_deadline": 300,
                "stop_deadline": 120,
                "slow": 300,
            }
        )
        found = asyncio.run(NotebookCheck(settings, site.hub.api_url, token).run())
    assert (found.state, found.said.startswith("a notebook was ready")) == (State.OK, True), found
