"""The monitor at a real JupyterHub: its check in every mood of the spawner, and its service."""

import asyncio
import gc
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
from jupyterhub.services.auth import HubOAuth
from playwright.sync_api import Page
from typer.testing import CliRunner

from hub.monitor import nagios
from hub.monitor.checks.notebook import STEPS
from hub.monitor.history import History
from hub.monitor.metrics import rendered
from hub.monitor.result import Run, State, verdict
from hub.monitor.schedule import Busy, Schedule
from hub.monitor.web.app import create_app
from hub.monitor.web.login import Doorkeeper
from tests.browser import browser, check_accessible, check_fits, new_page, page, screenshots
from tests.hub.rig import Hub
from tests.monitor.conftest import PROBE_TOKEN, Site
from tests.private import secret

__all__ = ["browser", "new_page", "page"]

T = TypeVar("T")


def apart(work: Coroutine[Any, Any, T]) -> T:
    """Run it in a thread of its own: in this one, a browser's loop may be running."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


def run(site: Site, **settings: object) -> Run:
    found = apart(site.check(**settings).run())
    gc.collect()  # a connection that the run left open is told here, not in some later test
    return found


@pytest.mark.parametrize("server", ["", "hourly"])
def test_a_notebook_is_started_opened_used_and_stopped(site: Site, server: str) -> None:
    site.mood("well")
    found = run(site, server=server)
    assert (found.state, [name for name, _ in found.steps]) == (State.OK, list(STEPS)), found.said
    assert found.said.startswith("a notebook was ready in ")
    assert all(seconds >= 0 for _, seconds in found.steps)
    assert site.servers() == set()


def test_a_slow_start_is_a_warning(site: Site) -> None:
    site.mood("slow")
    found = run(site, slow=2, cell="")
    assert (found.state, found.said.endswith("slower than 2 s")) == (State.WARNING, True)
    assert [name for name, _ in found.steps] == ["clean up", "start", "page", "stop"]


@pytest.mark.parametrize(
    ("mood", "said"),
    [
        ("fail", "start: the hub answered 500"),
        ("fail later", "start: the server did not start: Spawn failed: "),
    ],
)
def test_a_failing_start_tells_the_hubs_reason(site: Site, mood: str, said: str) -> None:
    site.mood(mood)
    found = run(site)
    assert (found.state, found.said.startswith(said)) == (State.CRITICAL, True), found.said
    assert [name for name, _ in found.steps] == ["clean up", "start", "stop"]
    assert site.servers() == set()


def test_a_hanging_start_ends_at_its_deadline_and_the_next_run_cleans_up(site: Site) -> None:
    site.mood("hang")
    found = run(site, start_deadline=3, stop_deadline=2)
    assert (found.state, found.said) == (State.CRITICAL, "start: not done within 3 s")
    site.mood("well")
    after = run(site, cell="1 / 0")
    assert (after.state, after.said) == (
        State.CRITICAL,
        "kernel: the cell ended with ZeroDivisionError",
    )
    assert site.servers() == set()


def test_a_server_that_stays_is_told_and_its_name_is_free_for_the_next_run(site: Site) -> None:
    site.mood("stay")
    found = run(site, server="hourly", cell="", stop_deadline=3)
    assert (found.state, found.said) == (State.CRITICAL, "stop: not done within 3 s")
    assert site.servers() == {"hourly"}
    site.mood("well")
    after = run(site, server="other", cell="")  # one named server is the limit
    assert (after.state, "had to be stopped" in after.said) == (State.WARNING, True), after.said
    assert site.servers() == set()


def test_a_wrong_answer_of_the_cell_is_critical(site: Site) -> None:
    site.mood("well")
    wrong = run(site, cell="print(6 * 9)")
    assert (wrong.state, wrong.said) == (
        State.CRITICAL,
        "kernel: the cell's answer is not what was expected",
    )
    assert site.servers() == set()


def test_a_cell_that_never_ends_is_left_at_its_deadline(site: Site) -> None:
    site.mood("well")
    stuck = run(site, cell="while True: pass", kernel_deadline=5)
    assert (stuck.state, stuck.said) == (State.CRITICAL, "kernel: not done within 5 s")
    assert [name for name, _ in stuck.steps] == list(STEPS)
    assert site.servers() == set()


def test_the_services_token_may_do_this_and_nothing_else(site: Site) -> None:
    site.hub.add_user("alice")

    def status(method: str, path: str) -> int:
        return site.hub.api(method, path, token=site.token).status_code

    assert status("GET", "/users/monitoring") == 200
    refused = {
        "GET": ["/users", "/users/alice", "/groups", "/proxy", "/services", "/info"],
        "POST": ["/users/alice/server", "/users/bob", "/users/monitoring/tokens", "/shutdown"],
        "DELETE": ["/users/monitoring", "/users/alice/server"],
    }
    statuses = {status(method, path) for method, paths in refused.items() for path in paths}
    assert statuses <= {403, 404}
    model = site.hub.api("GET", "/user", token=site.token).json()
    may = ("access:servers", "delete:servers", "read:servers", "read:users:name", "servers")
    least = {f"{scope}!user=monitoring" for scope in may}
    # JupyterHub 6 also names what `servers` implies since then.
    assert least <= set(model["scopes"]) <= least | {"start:servers!user=monitoring"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"user": "nobody"}, "clean up: the hub answered 404"),
        ({"token": "wrong"}, "clean up: the hub answered 403"),
        ({"api_url": "http://127.0.0.1:9/hub/api"}, "clean up: no answer (ConnectError)"),
    ],
)
def test_a_hub_that_refuses_or_is_silent_is_critical(
    site: Site, change: dict[str, str], said: str
) -> None:
    check = site.check(user=change.get("user", "monitoring"))
    object.__setattr__(check, "token", change.get("token", site.token))
    object.__setattr__(check, "api_url", change.get("api_url", site.hub.api_url))
    found = apart(check.run())
    assert (found.state, found.said.startswith(said)) == (State.CRITICAL, True), found.said


class Counted:
    """A check that takes until it is let go."""

    name = "notebook"

    def __init__(self) -> None:
        self.runs = 0
        self.began = asyncio.Event()
        self.go = asyncio.Event()

    async def run(self) -> Run:
        self.runs += 1
        self.began.set()
        await self.go.wait()
        return Run("notebook", 1000.0 * self.runs, State.OK, "well", (("start", 1.0),))


def test_checks_never_overlap_and_a_restart_does_not_make_them_due(history: History) -> None:
    async def work() -> None:
        check, now = Counted(), [1000.0]
        schedule = Schedule([check], history, 3600, 7800, clock=lambda: now[0])
        twin = Schedule([check], History(history.path, 90), 3600, 7800, clock=lambda: now[0])
        first = asyncio.create_task(schedule.run_due())
        await check.began.wait()
        with pytest.raises(Busy):
            await twin.run_due(all_of_them=True)
        check.go.set()
        assert len(await first) == 1
        now[0] = 4599.0
        assert await twin.run_due() == []
        now[0] = 4601.0
        assert len(await twin.run_due()) == 1
        assert [run.began_at for run in history.last("notebook", 9)] == [2000.0, 1000.0]

    apart(work())


def get(url: str, token: str | None = None) -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return httpx.get(url, headers=headers, timeout=60)


def token_without_access(hub: Hub) -> str:
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


def test_a_login_whose_code_the_hub_does_not_know_begins_anew(service: str) -> None:
    with httpx.Client(timeout=60) as browser:
        state = httpx.URL(browser.get(service).headers["Location"]).params["state"]
        refused = browser.get(f"{service}oauth_callback?code=not-a-code&state={state}")
    assert (refused.status_code, refused.json()["cure"]) == (403, "go to /services/monitoring/")


def test_nothing_is_shown_without_a_token(site: Site, service: str) -> None:
    site.hub.add_user("emil")
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
            "clean up",
            "start",
            "page",
            "kernel",
            "stop",
        }
        assert (found["code"], found["msg"]) == (found["state"], found["text"])
    metrics = get(f"{service}metrics", PROBE_TOKEN).text
    assert 'notebooks_monitor_state{check="notebook",state="ok"} 1.0' in metrics
    assert 'notebooks_monitor_runs{check="notebook",result="critical"} 1.0' in metrics


def test_egi_s_earlier_probe_finds_code_and_msg_at_its_own_address(
    site: Site, service: str
) -> None:
    answer = get(f"{site.hub.url}services/status/", PROBE_TOKEN).raise_for_status().json()
    assert answer["code"] == "OK"
    assert answer["msg"].startswith("notebook: a notebook was ready in ")
    assert get(f"{site.hub.url}services/status/").status_code == 401
    at_its_page = httpx.get(
        service,
        headers={"Accept": "application/json", "Authorization": f"Bearer {PROBE_TOKEN}"},
        follow_redirects=True,
        timeout=60,
    )
    there = get(f"{service}status.json", PROBE_TOKEN)
    assert ageless(at_its_page.json()) == ageless(there.json())


def ageless(status: dict[str, Any]) -> dict[str, Any]:
    """Without the ages, which differ from one question to the next."""
    kept = [{k: v for k, v in one.items() if k != "age_seconds"} for one in status["checks"]]
    return status | {"checks": kept}


@pytest.mark.parametrize(
    ("prefix", "path"),
    [
        ("/services/monitoring/", "/services/status/"),
        ("/base/services/watch/", "/base/services/status/"),
        ("/services/status/", "/services/status/"),
    ],
)
def test_an_open_status_needs_no_token_whatever_the_service_is_called(
    history: History, prefix: str, path: str
) -> None:
    door = Doorkeeper(HubOAuth(api_url="http://127.0.0.1:1/hub/api", api_token="x"), prefix)
    app = create_app(Schedule([], history, 3600, 3600), door, open_status=True)

    async def look() -> tuple[httpx.Response, httpx.Response]:
        there = httpx.ASGITransport(app)
        async with httpx.AsyncClient(
            transport=there, base_url="http://monitor", follow_redirects=True, timeout=60
        ) as client:
            return await client.get(path), await client.get(f"{prefix}metrics")

    status, metrics = apart(look())
    assert status.status_code == 200
    assert (status.json()["code"], status.json()["msg"]) == ("UNKNOWN", "nothing is checked")
    assert metrics.status_code == 401


def test_the_probe_asks_the_service(service: str, tmp_path: Path) -> None:
    secret(tmp_path / "token", PROBE_TOKEN)
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
