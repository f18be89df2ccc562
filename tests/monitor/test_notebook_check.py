"""The check against a real JupyterHub, whose spawner succeeds, is slow, fails, hangs, or stays."""

import asyncio

import httpx
import pytest

from hub.monitor.history import History
from hub.monitor.notebook import STEPS
from hub.monitor.result import Run, State
from hub.monitor.schedule import Busy, Schedule
from tests.monitor.conftest import Site


def run(site: Site, **settings: object) -> Run:
    return asyncio.run(site.check(**settings).run())


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


def test_a_failing_start_tells_the_hubs_reason(site: Site) -> None:
    site.mood("fail")
    found = run(site)
    assert found.state is State.CRITICAL
    assert found.said.startswith("start: the server did not start: ")
    assert [name for name, _ in found.steps] == ["clean up", "start", "stop"]
    assert site.servers() == set()


def test_a_hanging_start_ends_at_its_deadline_and_the_next_run_cleans_up(site: Site) -> None:
    site.mood("hang")
    found = run(site, start_deadline=3, stop_deadline=2)
    assert (found.state, found.said) == (State.CRITICAL, "start: not done within 3 s")
    assert found.seconds < 20
    site.mood("well")
    after = run(site, cell="")
    assert after.state in {State.OK, State.WARNING}, after.said
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
    error = run(site, cell="1 / 0")
    assert error.said == "kernel: the cell ended with ZeroDivisionError"
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
    assert set(model["scopes"]) == {
        f"{scope}!user=monitoring"
        for scope in ("access:servers", "delete:servers", "read:servers", "read:users:name",
                      "servers", "start:servers")
    }  # fmt: skip


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
    found = asyncio.run(check.run())
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

    asyncio.run(work())


def test_the_monitored_page_is_open_to_the_token_only(site: Site) -> None:
    site.mood("well")
    site.hub.start_server("monitoring")
    page = httpx.get(f"{site.hub.url}user/monitoring/api/status", follow_redirects=False)
    assert page.status_code in {302, 403}
    site.hub.stop_server("monitoring")
