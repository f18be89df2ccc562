"""``notebooks-status`` in every state, BinderHub's health, verdicts, and accounting's exclusion."""

import asyncio
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from subprocess import run as start
from threading import Thread

import pytest

from accounting.config import Settings
from hub.monitor.checks.binder import BinderCheck
from hub.monitor.history import History
from hub.monitor.result import Run, State, Verdict, verdict, worst
from hub.monitor.settings import MonitorSettings
from hub.monitor.web.app import document
from hub.program.failure import Failure, WrongSetting
from hub.program.settings import load

PROGRAM = Path(sys.executable).parent / "notebooks-status"
GOOD = Run("notebook", 1000.0, State.OK, "a notebook was ready in 5.0 s", (("start", 5.0),))
LATE = Run("notebook", 1000.0, State.WARNING, "slow | as\nnever", (("start", 300.0),))
BAD = Run("notebook", 1000.0, State.CRITICAL, "start: no node has room", (("start", 2.0),))


@contextmanager
def served(content: str | None, status: int = 200) -> Iterator[str]:
    """A real HTTP server that answers everything with this; its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write((content or "").encode())

        def log_message(self, *_arguments: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def probe(*arguments: str) -> tuple[int, str]:
    done = start([PROGRAM, *arguments], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout


def said(run: Run | None, now: float = 1400.0) -> str:
    return json.dumps(document([verdict("notebook", run, now, 7800)]))


@pytest.mark.parametrize(
    ("content", "code", "line"),
    [
        (
            said(GOOD),
            0,
            (
                "OK - notebook: a notebook was ready in 5.0 s (7 min ago)"
                " | 'notebook start'=5.0s age=395s"
            ),
        ),
        (
            said(LATE),
            1,
            ("WARNING - notebook: slow   as never (100 s ago) | 'notebook start'=300.0s age=100s"),
        ),
        (
            said(BAD),
            2,
            (
                "CRITICAL - notebook: start: no node has room (7 min ago)"
                " | 'notebook start'=2.0s age=398s"
            ),
        ),
        (
            said(GOOD, 9000),
            3,
            (
                "UNKNOWN - notebook: the last result is 2 h old (OK: a notebook was"
                " ready in 5.0 s) (2 h ago) | 'notebook start'=5.0s age=7995s"
            ),
        ),
        (said(None), 3, "UNKNOWN - notebook: nothing was checked yet"),
        ("<html>", 3, "UNKNOWN - the answer is not the monitor's: see --url"),
        ("[]", 3, "UNKNOWN - the answer is not the monitor's: see --url"),
    ],
)
def test_the_probe_says_each_state_with_its_exit_code(content: str, code: int, line: str) -> None:
    with served(content) as url:
        assert probe("--url", url) == (code, f"NOTEBOOKS {line}\n")


def test_the_probe_is_unknown_where_it_cannot_know() -> None:
    with served("", 503) as url:
        assert probe("--url", url) == (3, "NOTEBOOKS UNKNOWN - the monitor answered 503\n")
    gone = probe("--url", url)
    assert gone == (3, "NOTEBOOKS UNKNOWN - the monitor does not answer (ConnectError)\n")
    assert probe("--url", "http://127.0.0.1:port")[0] == 3
    assert probe()[0] == 3  # wrong use, which is 2 elsewhere, would be CRITICAL here
    assert probe("--url", url, "--token-file", "/no/such")[0] == 3
    assert probe("--help")[0] == 0
    with served(said(GOOD)) as url:
        unknown = probe("--url", url, "--check", "binder")
        assert unknown == (3, "NOTEBOOKS UNKNOWN - there is no check binder\n")
        assert probe("--url", url, "--check", "notebook")[0] == 0


@pytest.mark.parametrize(
    ("content", "status", "state", "text"),
    [
        ('{"ok": true, "checks": []}', 200, State.OK, "BinderHub is well"),
        (
            (
                '{"ok": false, "checks": [{"service": "Docker registry", "ok": false},'
                ' {"service": "JupyterHub API", "ok": true}]}'
            ),
            503,
            State.CRITICAL,
            "BinderHub is not well: Docker registry",
        ),
        ("<html>", 404, State.CRITICAL, "the answer 404 is not BinderHub's"),
    ],
)
def test_a_binderhub_is_asked_for_its_health(
    content: str, status: int, state: State, text: str
) -> None:
    with served(content, status) as url:
        found = asyncio.run(BinderCheck(url).run())
    assert (found.state, found.said, found.steps[0][0]) == (state, text, "health")
    silent = asyncio.run(BinderCheck(url).run())
    assert (silent.state, silent.said) == (State.CRITICAL, "no answer (ConnectError)")


def test_what_is_known_to_fail_weighs_more_than_what_is_unknown() -> None:
    def of(*states: State) -> State:
        return worst([Verdict("x", state, "") for state in states])

    assert of(State.OK, State.UNKNOWN) is State.UNKNOWN
    assert of(State.CRITICAL, State.UNKNOWN) is State.CRITICAL
    assert of(State.WARNING, State.UNKNOWN, State.OK) is State.WARNING
    assert of() is State.UNKNOWN


def test_a_clock_that_was_set_back_makes_no_age_negative() -> None:
    assert verdict("notebook", GOOD, 10.0, 100).age_seconds == 0


def test_the_history_keeps_what_is_young_and_survives(tmp_path: Path) -> None:
    path = tmp_path / "monitor.db"
    for day in range(5):
        at = 86400.0 * day
        History(path, 2).add(Run("notebook", at, State.OK, "well", (("start", 1.0),)))
    assert [run.began_at for run in History(path, 2).last("notebook", 9)] == [
        86400.0 * day for day in (4, 3, 2)
    ]
    path.write_text("this is no database, it is a text that is long enough to be read")
    with pytest.raises(Failure, match="cannot be used"):
        History(path, 2)


def test_accounting_leaves_out_the_monitoring_user_where_the_documentation_says_so() -> None:
    page = (Path(__file__).parents[2] / "docs" / "monitoring.md").read_text(encoding="utf-8")
    user = MonitorSettings().user
    assert f"ACCOUNTING_VO__EXCLUDED_USERS={user}\n" in page
    settings = Settings.model_validate({"vo": {"excluded_users": user}})
    assert settings.vo_rules().excluded_users == {user}


def test_a_wrong_setting_is_named_with_an_example(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = {
        "NOTEBOOKS_MONITOR_INTERVAL": "often",
        "NOTEBOOKS_MONITOR_SERVER": "Not A Name",
        "NOTEBOOKS_MONITOR_HUB_URL": "https://me:secret@hub",
        "NOTEBOOKS_MONITOR_INTERVALL": "1h",
    }
    texts = [
        "for example NOTEBOOKS_MONITOR_INTERVAL=1h",
        "NOTEBOOKS_MONITOR_SERVER=hourly",
        "must not hold a user or password",
        "did you mean NOTEBOOKS_MONITOR_INTERVAL?",
    ]
    for (name, value), text in zip(wrong.items(), texts, strict=True):
        with monkeypatch.context() as patch:
            patch.setenv(name, value)
            with pytest.raises(WrongSetting) as caught:
                load(MonitorSettings)
        assert text in str(caught.value)
        assert "secret" not in str(caught.value)
    monkeypatch.setenv("NOTEBOOKS_MONITOR_SERVICE_HOST", "10.0.0.1")  # a Service of that name
    load(MonitorSettings)
