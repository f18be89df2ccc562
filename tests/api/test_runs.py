"""Polls and pushes through a running service, as a cron job drives them."""

import json
import os
import threading
import time
from pathlib import Path

import pytest
from dirq.QueueSimple import QueueSimple

from accounting.errors import AccountingError
from accounting.model.jobs import Ending, JobKind
from accounting.model.reconciliation import Cause, Line, Reconciliation, Unit, Used
from accounting.model.time import Month
from accounting.service.client import Client, ServiceError
from accounting.service.outcome import Outcome
from accounting.service.progress import Notice
from accounting.store.reconciliations import Reconciliations
from tests import commands
from tests.api.serving import ADMIN, JOB, SCRAPER, Running, Serve
from tests.private import secret


@pytest.fixture
def running(prometheus: str, moment: float, serve: Serve) -> Running:
    return serve(moment, PROMETHEUS__URL=prometheus)


def command(running: Running, *arguments: str, file: str = "job-token") -> tuple[int, str, str]:
    done = commands.run(
        *arguments,
        "--url",
        running.url,
        "--token-file",
        running.folder / file,
        env={"PATH": os.environ["PATH"], "HOME": str(running.folder)},
        cwd=running.folder,
    )
    return done.returncode, done.stdout, done.stderr


def test_the_cron_job_polls_and_pushes_through_the_service(running: Running) -> None:
    code, out, err = command(running, "poll", "--json")
    assert (code, err) == (0, "")
    polled = json.loads(out)
    assert polled["pods"] > 5
    code, out, err = command(running, "push", "--json")
    assert (code, err) == (0, "")
    pushed = json.loads(out)
    assert (pushed["records"], pushed["pending"], pushed["error"]) == (polled["pods"], 0, None)
    spool = QueueSimple(str(running.folder / "spool"))
    assert spool.count() == pushed["sent"] == 1
    code, out, err = command(running, "push")
    assert (code, err) == (0, "")
    assert "Pushed to" in out
    kinds = [(run["kind"], run["exit_code"]) for run in running.get("/api/v1/runs").json()["runs"]]
    assert kinds == [("push", 0), ("push", 0), ("poll", 0)]


def test_a_month_is_republished_through_the_service(running: Running) -> None:
    command(running, "poll")
    command(running, "push")
    month = running.get("/api/v1/records").json()["records"][0]["month"]
    again = ("republish", "--month", month)
    code, out, err = command(running, *again, "--dry-run", "--json", file="token")
    assert (code, err) == (0, "")
    counts = json.loads(out)["counts"]
    assert counts["same"] > 0
    assert json.loads(out)["queued"] == 0
    code, out, err = command(running, *again, file="token")
    assert (code, err) == (0, "")
    assert f"{counts['same']:,} records are queued" in out
    code, out, err = command(running, "push", "--json")
    assert json.loads(out)["records"] == counts["same"]
    assert (
        "there is no record of 2001-01"
        in command(running, "republish", "--month", "2001-01", file="token")[2]
    )


def test_a_run_that_fails_ends_the_command_as_it_would_have_done_itself(
    running: Running, serve: Serve, tmp_path: Path
) -> None:
    (tmp_path / "spool").write_text("in the way")
    command(running, "poll")
    code, out, err = command(running, "push", "--json")
    assert code == 1
    assert json.loads(out)["sent"] == 0
    assert err.count("error: ") == 1
    away = serve(time.time(), PROMETHEUS__URL="http://127.0.0.1:9")
    code, out, err = command(away, "poll")
    assert (code, out) == (1, "")
    assert "error: " in err


def test_a_wrong_token_is_told_with_its_cure(running: Running) -> None:
    secret(running.folder / "wrong", "not-the-token")
    code, out, err = command(running, "push", file="wrong")
    assert (code, out) == (1, "")
    assert err.startswith("error: the service refused: the token is not one that this service")


@pytest.mark.parametrize(
    ("url", "code", "said"),
    [
        ("http://127.0.0.1:9", 1, "does not answer: ConnectError → check --url"),
        ("127.0.0.1:9", 2, "is not an http:// or https:// address"),
    ],
)
def test_an_address_without_a_service_is_told(
    url: str, code: int, said: str, tmp_path: Path
) -> None:
    secret(tmp_path / "token", "x")
    done = commands.run(
        "push",
        "--url",
        url,
        "--token-file",
        tmp_path / "token",
        env={"PATH": os.environ["PATH"]},
        cwd=tmp_path,
    )
    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr


def test_without_any_token_the_command_says_where_to_put_it(tmp_path: Path) -> None:
    done = commands.run(
        "poll",
        env={"PATH": os.environ["PATH"], "ACCOUNTING_API__URL": "http://127.0.0.1:9"},
        cwd=tmp_path,
    )
    assert done.returncode == 2
    assert "give --token-file, or set ACCOUNTING_API__JOB_TOKEN_FILE" in done.stderr


def test_a_run_is_accepted_and_can_be_followed(running: Running) -> None:
    answer = running.post("/api/v1/poll", JOB)
    assert answer.status_code == 202
    begun = answer.json()
    assert answer.headers["Location"] == f"/api/v1/runs/{begun['id']}"
    ended = running.get(f"{answer.headers['Location']}?wait=25", JOB).json()
    assert (ended["state"], ended["exit_code"], ended["error"]) == ("done", 0, None)
    assert ended["begun_at"] <= ended["ended_at"]
    assert running.get("/api/v1/runs/unknown").status_code == 404


def test_only_one_run_goes_on_at_a_time_and_a_client_waits_its_turn(running: Running) -> None:
    release = threading.Event()

    def job(notice: Notice) -> Outcome:
        notice({"sent": 1})
        release.wait(30)
        return Outcome(Ending.INCOMPLETE, {"sent": 1})

    run = running.service.runs.start(JobKind.PUSH, job)
    refused = running.post("/api/v1/poll")
    assert (refused.status_code, refused.json()["run"]) == (409, run.id)
    ended: list[Outcome] = []
    client = Client(running.url, JOB.encode())
    waiting = threading.Thread(target=lambda: ended.append(client.run("poll")))
    waiting.start()
    shown = running.get(f"/api/v1/runs/{run.id}").json()
    assert (shown["state"], shown["progress"]) == ("running", {"sent": 1})
    release.set()
    waiting.join(60)
    assert [outcome.exit_code for outcome in ended] == [0]
    assert running.get(f"/api/v1/runs/{run.id}").json()["state"] == "incomplete"


def test_an_unexpected_failure_is_told_by_its_place_only(running: Running) -> None:
    def job(_: Notice) -> Outcome:
        raise KeyError("alice@example.org")

    run = running.service.runs.start(JobKind.PUSH, job)
    assert run.ended.wait(30)
    shown = running.get(f"/api/v1/runs/{run.id}").json()
    assert (shown["state"], shown["exit_code"]) == ("failed", 1)
    assert "unexpected KeyError in job, test_runs.py" in shown["error"]["error"]
    assert "alice" not in str(shown)


def test_a_run_that_a_restart_has_ended_is_told(running: Running) -> None:
    client = Client(running.url, JOB.encode())
    with pytest.raises(ServiceError, match="restarted during the run"):
        client.follow("0123456789ab")


@pytest.mark.parametrize("path", ["poll", "push", "republish?month=2026-11", "messages/1/retry"])
@pytest.mark.parametrize(
    "body",
    [
        b'{"since": "never"}',
        b'{"month": "2026-11", "dry_run": false}',
        b"[]",
        b"month=2026-10",
        b"csrf_token=a&month=2026-10",
        b"\0",
    ],
)
def test_a_body_that_nobody_reads_is_refused_before_anything_begins(
    path: str, body: bytes, running: Running
) -> None:
    for kind in ("application/json", "application/x-www-form-urlencoded", "text/plain"):
        headers = {"Content-Type": kind}
        answer = running.post(f"/api/v1/{path}", ADMIN, content=body, headers=headers)
        assert answer.status_code == 400
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.json()["detail"] == "a body is not read here"
    assert running.get("/api/v1/runs").json()["runs"] == []


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("poll?since=never", "since is not a time"),
        ("push?now=true&new=1", "new is not known; did you mean now?"),
        ("push?now=true&now=false", "now is given more than once"),
        ("push?now=perhaps", "now "),
        ("republish?month=2026-11&dryrun=false", "dryrun is not known; did you mean dry_run?"),
        ("republish?month=2026-13", "month is not a month"),
    ],
)
def test_an_option_that_nobody_reads_is_refused_before_anything_begins(
    path: str, said: str, running: Running
) -> None:
    answer = running.post(f"/api/v1/{path}")
    assert answer.status_code == 400
    assert answer.json()["detail"].startswith(said)
    if "not known" in said:
        assert answer.json()["cure"].startswith("the options here are: ")
    assert running.get("/api/v1/runs").json()["runs"] == []


@pytest.mark.parametrize("body", [b"", b"{}", b" {} \n"])
def test_a_body_that_asks_for_nothing_is_nothing(body: bytes, running: Running) -> None:
    assert running.post("/api/v1/push", JOB, content=body).status_code == 202


@pytest.mark.parametrize(
    ("path", "token", "status"),
    [
        ("/api/v1/push", SCRAPER, 403),
        ("/metrics", JOB, 403),
        ("/api/v1/records", JOB, 403),
        ("/api/v1/records", SCRAPER, 403),
        ("/metrics", SCRAPER, 200),
        ("/metrics", ADMIN, 200),
    ],
)
def test_a_token_is_good_for_its_purpose_only(
    path: str, token: str, status: int, running: Running
) -> None:
    method = "POST" if path.endswith("push") else "GET"
    assert running.ask(method, path, token).status_code == status


def test_what_is_no_service_of_ours_is_told(prometheus: str) -> None:
    with pytest.raises(AccountingError, match="not as this service does"):
        Client(prometheus, b"x").run("push")


def test_a_month_is_republished_after_a_dry_run_has_shown_what_differs(running: Running) -> None:
    command(running, "poll")
    command(running, "push")
    record = running.get("/api/v1/records?limit=1").json()["records"][0]
    path = f"/api/v1/republish?month={record['month']}&vo={record['vo']}"
    for dry_run, queues in ((True, False), (False, True)):
        begun = running.post(f"{path}&dry_run={str(dry_run).lower()}", JOB)
        assert begun.status_code == 202, begun.text
        ended = running.get(f"{begun.headers['Location']}?wait=25", JOB).json()["result"]
        assert (ended["dry_run"], ended["queued"] > 0) == (dry_run, queues)
        assert ended["counts"]["same"] > 0
    due = running.get(f"/api/v1/records?delivery=due&vo={record['vo']}").json()["records"]
    assert len(due) == ended["queued"]
    assert running.post("/api/v1/republish").status_code == 400


def test_a_comparison_with_the_portal_is_on_the_page_in_the_api_and_in_the_metrics(
    running: Running,
) -> None:
    assert "Nothing was compared yet" in running.get("/deliveries/reconciliation").text
    line = Line(
        "EXAMPLE",
        "vo.example.org",
        Used(1, 3600, 60),
        Used(2, 7200, 120),
        Cause.REFUSED,
        "what is missing is what this message said",
        (7,),
    )
    made = Reconciliation(
        Month(2026, 10),
        "dirq://spool",
        1e9,
        "portal.csv",
        Unit.HOURS,
        is_partial=False,
        lines=[line],
    )
    Reconciliations(running.service.database).keep(made)
    page = running.get("/deliveries/reconciliation")
    assert page.status_code == 200
    for said in ("October 2026", "vo.example.org", "refused", "deliveries/7", "portal.csv"):
        assert said in page.text
    assert page.text.count('href="/records?month=2026-10&amp;vo=vo.example.org"') == 2
    (told,) = running.get("/api/v1/reconciliations?month=2026-10").json()["reconciliations"]
    assert (told["differing"], told["lines"][0]["messages"]) == (1, [7])
    assert running.get("/api/v1/reconciliations", JOB).status_code == 403
    assert 'reconciliation_differences{cause="refused"} 1.0' in running.get("/metrics").text
