"""The monitor's service behind a real hub: page, JSON, metrics, probe."""

from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page
from typer.testing import CliRunner

from hub.monitor import nagios
from hub.monitor.history import History
from hub.monitor.metrics import rendered
from hub.monitor.result import Run, State, verdict
from tests.browser import browser, check_accessible, check_fits, new_page, page, screenshots
from tests.hub.rig import Hub
from tests.monitor.conftest import PROBE_TOKEN, Site

__all__ = ["browser", "new_page", "page"]


def get(url: str, token: str | None = None) -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return httpx.get(url, headers=headers, timeout=60)


def token_without_access(hub: Hub) -> str:
    hub.add_user("emil")
    return hub.token_of("emil", scopes=["read:users:name!user=emil"])


def test_people_see_the_page_after_the_hubs_login(service: str, page: Page) -> None:
    page.goto(service)
    page.fill("#username_input", "alice")
    page.fill("#password_input", "password-of-the-tests")
    page.click("#login_submit")
    page.wait_for_url(service)
    assert page.title() == "OK: notebooks status"
    strip = page.locator(".strip li")
    assert strip.count() == 48
    assert strip.evaluate_all("marks => marks.filter(m => m.className == 'critical').length") == 1
    assert "no node has room" in (strip.nth(27).get_attribute("title") or "")
    assert page.locator(".chart svg[role=img]").count() == 1
    assert page.locator("tbody tr").count() == 10
    check_accessible(page)
    check_fits(page)
    screenshots(page, "monitor-status")
    page.goto(f"{service}oauth_callback?code=x&state=y")
    assert "the login was not begun here" in page.content()


def test_nothing_is_shown_without_a_token(site: Site, service: str) -> None:
    for path in ("status.json", "metrics"):
        for token in (None, "wrong", token_without_access(site.hub)):
            refused = get(service + path, token)
            assert (refused.status_code, "cure" in refused.json()) == (401, True)
    assert get(service).status_code == 303
    assert get(service, "wrong").status_code == 403
    assert get(f"{site.service_url}/openapi.json").status_code == 404


def test_probes_get_the_state_by_their_token_or_the_hubs(site: Site, service: str) -> None:
    site.hub.add_user("dora")
    for token in (PROBE_TOKEN, site.hub.token_of("dora")):
        found = get(f"{service}status.json", token).raise_for_status().json()
        assert (found["state"], found["checks"][0]["check"]) == ("OK", "notebook")
        assert set(found["checks"][0]["steps_seconds"]) == {
            "clean up", "start", "page", "kernel", "stop",
        }  # fmt: skip
    metrics = get(f"{service}metrics", PROBE_TOKEN).text
    assert 'notebooks_monitor_state{check="notebook",state="ok"} 1.0' in metrics
    assert 'notebooks_monitor_runs{check="notebook",result="critical"} 1.0' in metrics


def test_the_probe_asks_the_service(service: str, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(PROBE_TOKEN)
    done = CliRunner().invoke(
        nagios.app, ["--url", service, "--token-file", str(tmp_path / "token")]
    )
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("NOTEBOOKS OK - notebook: a notebook was ready in ")
    assert " | 'notebook clean up'=0.1s 'notebook start'=" in done.stdout
    refused = CliRunner().invoke(nagios.app, ["--url", service])
    assert (refused.exit_code, refused.stdout) == (
        3,
        "NOTEBOOKS UNKNOWN - the monitor answered 401: give --token-file\n",
    )


@pytest.mark.parametrize("state", list(State))
def test_metrics_have_every_label_from_the_start(history: History, state: State) -> None:
    last = None if state is State.UNKNOWN else Run("notebook", 1000.0, state, "", ())
    if last:
        history.add(last)
    text = rendered([verdict("notebook", last, 1001.0, 10)], history).decode()
    for each in State:
        line = f'notebooks_monitor_state{{check="notebook",state="{each.name.lower()}"}}'
        assert f"{line} {float(each is state)}" in text
