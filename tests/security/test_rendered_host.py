"""The host name that the chart makes, as a browser meets it: TLS, the real hub, the service."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import yaml
from playwright.sync_api import Browser, Page

from tests.api.hubs import PASSWORD, RENDERED_TOKEN, Hub, run_hub
from tests.api.serving import Running, Serve, listening
from tests.chart.helm import CHARTS, find, render
from tests.delivery.books import account, write
from tests.private import secret
from tests.security.attacker import ATTACK, notebook
from tests.security.front import finding, front

CHART = CHARTS / "notebooks-accounting"
HUB_HOST = "notebooks.example.org"
VALUES = f"""
hub:
  enabled: true
  publicUrl: https://{HUB_HOST}/hub
  service: accounting-rendered
"""


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    with run_hub(tmp_path_factory.mktemp("hub")) as found, notebook(found.notebook_port):
        yield found


@pytest.fixture
def rendered(tmp_path: Path) -> tuple[str, dict[str, str]]:
    """The Ingress' host name, and the hub's settings, of a chart that is told the hub's address."""
    (tmp_path / "values.yaml").write_text(VALUES)
    made = render(CHART, CHART / "ci" / "minimal-values.yaml", tmp_path / "values.yaml")
    (rule,) = find(made, "Ingress")["spec"]["rules"]
    (said,) = find(made, "ConfigMap")["data"].values()
    return rule["host"], yaml.safe_load(said)["hub"]


@pytest.fixture
def running(
    rendered: tuple[str, dict[str, str]], hub: Hub, serve: Serve, tmp_path: Path
) -> Running:
    told = rendered[1]
    secret(tmp_path / "hub-token", RENDERED_TOKEN)
    changes = {f"HUB__{name.upper()}": str(value) for name, value in told.items()}
    changes |= {"HUB__API_URL": hub.api, "HUB__API_TOKEN_FILE": str(tmp_path / "hub-token")}
    running = serve(**changes)
    owners = [("boss", "own-vo"), ("ada", "own-vo"), ("bob-somebody", "other-vo")]
    write(
        running.service.database,
        [account(n, user=user, group=vo) for n, (user, vo) in enumerate(owners)],
    )
    return running


@pytest.fixture
def chromium(
    rendered: tuple[str, dict[str, str]], running: Running, hub: Hub, tmp_path: Path
) -> Iterator[Browser]:
    with ExitStack() as stack:
        below = listening(running.service, running.doors, hub.service_port)
        stack.enter_context(below)  # and, by mistake, below the hub's address too
        servers = {rendered[0]: running.url, HUB_HOST: hub.url}
        port = stack.enter_context(front(tmp_path, servers))
        yield stack.enter_context(finding(port))


def opened_by(user: str, chromium: Browser, url: str) -> Page:
    page = chromium.new_context(ignore_https_errors=True).new_page()
    page.goto(url)
    page.fill("#username_input", user)
    page.fill("#password_input", PASSWORD)
    page.click("#login_submit")
    page.wait_for_url(f"{url}**")
    return page


def test_on_the_chart_s_own_host_an_administrator_sees_all_and_others_their_own(
    rendered: tuple[str, dict[str, str]], running: Running, chromium: Browser
) -> None:
    host, _ = rendered
    assert host == f"accounting.{HUB_HOST}"
    url = f"https://{host}"
    boss = opened_by("boss", chromium, f"{url}/")
    assert "other-vo" in boss.inner_text("main")
    page = boss.context.new_page()
    page.goto(f"https://{HUB_HOST}/services/notebook/")  # somebody's notebook, beside the hub
    loot = page.evaluate(ATTACK, url)
    for word in ("somebody", "other-vo", "own-vo", "csrf_token", "boss"):
        assert word not in "\n".join(loot.values())
    below = boss.context.new_page()
    below.goto(f"https://{HUB_HOST}/services/accounting/")
    assert below.url == f"{url}/"  # led there: below the hub's address nothing is shown
    boss.goto(f"{url}/deliveries")
    boss.click("text=Push now")
    assert running.service.runs.latest()
    ada = opened_by("ada", chromium, f"{url}/")
    assert ada.url == f"{url}/my"
    assert "other-vo" not in ada.content()
