import csv
import io
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
from pyarrow import parquet

from accounting.simulation.stores.engines import free_port, run_prometheus
from accounting.simulation.stores.history import populate
from accounting.simulation.world.cluster import Cluster
from accounting.simulation.world.features import Features
from accounting.store.database import HEAD
from ssm.testing.authority import Authority
from ssm.testing.standin import AmsStandin

PROGRAM = Path(sys.executable).parent / "notebooks-accounting"
HOURS = 2


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Site:
    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    hidden: dict[str, str] = field(default_factory=dict)

    def _environment(self, changes: dict[str, str]) -> dict[str, str]:
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.folder), **self.hidden}
        for name, value in {**self.environment, **changes}.items():
            environment[f"ACCOUNTING_{name}"] = value
        return environment

    def seen(self, *arguments: str, columns: int = 120, results: bool = False) -> str:
        """What a terminal shows: of the error output, or of the results."""
        ours, theirs = os.openpty()
        with subprocess.Popen(
            [PROGRAM, *arguments],
            cwd=self.folder,
            env={**self._environment({}), "TERM": "xterm", "COLUMNS": str(columns)},
            stdout=theirs if results else subprocess.DEVNULL,
            stderr=subprocess.DEVNULL if results else theirs,
        ):
            os.close(theirs)
            pieces = []
            with open(ours, "rb", buffering=0) as shown:  # noqa: PTH123 - a descriptor
                try:
                    while piece := shown.read(4096):
                        pieces.append(piece)
                except OSError:  # how a terminal says that nobody writes to it any more
                    pass
        return b"".join(pieces).decode()

    def run(self, *arguments: str, **changes: str) -> Result:
        done = subprocess.run(
            [PROGRAM, *arguments],
            cwd=self.folder,
            env=self._environment(changes),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    def fails(self, *arguments: str, **changes: str) -> tuple[int, str]:
        result = self.run(*arguments, **changes)
        assert "Traceback" not in result.err
        errors = [line for line in result.err.splitlines() if line.startswith("error: ")]
        assert len(errors) == 1, result
        assert " → " in errors[0]
        return result.code, errors[0]

    def copied(self, folder: Path) -> "Site":
        shutil.copytree(self.folder, folder / "site")
        return replace(self, folder=folder / "site")


@dataclass(frozen=True)
class Cloud:
    cluster: Cluster
    url: str


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    end = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=5)
    features = Features.none().but(hole=True, claims=True, odd_users=True, unannotated=True)
    cluster = Cluster.generate(11, end - timedelta(hours=HOURS), end, pods=40, features=features)
    folder = tmp_path_factory.mktemp("cloud")
    populate(cluster, folder / "prometheus")
    with run_prometheus(folder / "prometheus") as engine:
        yield Cloud(cluster, engine.url)


def site_at(folder: Path, url: str) -> Site:
    return Site(
        folder,
        {
            "SITE_NAME": "EXAMPLE",
            "PROMETHEUS__URL": url,
            "PROMETHEUS__NAMESPACE": "jupyterhub",
            "SSM__TRANSPORT": "dirq",
            "SSM__DIRQ_PATH": "spool",
        },
    )


@pytest.fixture
def site(cloud: Cloud, tmp_path: Path) -> Site:
    return site_at(tmp_path, cloud.url)


@pytest.fixture(scope="module")
def first_poll(cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> tuple[Site, Result]:
    polled = site_at(tmp_path_factory.mktemp("polled"), cloud.url)
    return polled, polled.run("poll", "--json")


@pytest.fixture
def polled(first_poll: tuple[Site, Result], tmp_path: Path) -> Site:
    return first_poll[0].copied(tmp_path)


def test_a_poll_with_a_gap_is_incomplete_and_finds_every_notebook(
    first_poll: tuple[Site, Result], cloud: Cloud
) -> None:
    _, result = first_poll
    assert result.code == 3
    report = json.loads(result.out)
    until = report["end"]
    ran = [pod for pod in cloud.cluster.counted_pods if pod.ran_by(until - 60)]
    assert abs(report["pods"] - len(ran)) <= 1
    assert len(report["gaps"]) == 1
    assert not report["complete"]


def test_a_poll_right_after_another_has_little_to_do(polled: Site) -> None:
    again = polled.run("poll", "--json")
    report = json.loads(again.out)
    assert report["end"] - report["start"] < 600
    assert report["gaps"] == []
    assert again.code == (0 if report["complete"] else 3)


def test_polling_again_from_the_start_changes_nothing(polled: Site) -> None:
    before = polled.run("records", "export", "--format", "json").out
    end = str(json.loads(polled.run("db", "status", "--json").out)["read_until"])
    start = datetime.fromtimestamp(int(end) - HOURS * 3600, UTC)
    again = polled.run("poll", "--since", f"{start:%Y-%m-%dT%H:%M:%SZ}", "--until", end)
    assert again.code == 3
    assert polled.run("records", "export", "--format", "json").out == before


def test_a_table_says_what_a_poll_did_and_notices_point_further(site: Site) -> None:
    result = site.run("poll")
    assert result.code == 3
    assert "gap" in result.out
    assert "notice: the source was silent 1 time; see 'db gaps'" in result.err
    assert "records list --held" in result.err


def test_records_are_listed_shown_added_up_and_exported(polled: Site) -> None:
    listed = json.loads(polled.run("records", "list", "--json", "--sendable").out)
    assert len(listed) > 20
    one = listed[0]
    shown = json.loads(polled.run("records", "show", one["uid"], "--json").out)
    assert shown == [{**one, "messages": []}]
    mine = json.loads(polled.run("records", "list", "--json", "--user", one["user"]).out)
    assert {record["user"] for record in mine} == {one["user"]}
    few = polled.run("records", "list", "--limit", "2")
    assert "there are more than 2" in few.err
    totals = json.loads(polled.run("records", "summary", "--json").out)
    assert sum(row["pods"] for row in totals) == len(listed)
    assert sum(row["delivered"]["pods"] for row in totals) == 0
    assert "held back, and counted under 'measured' only" in polled.run("records", "summary").err


def held_records(site: Site) -> list[dict[str, str]]:
    found: list[dict[str, str]] = json.loads(site.run("records", "list", "--held", "--json").out)
    return found


def test_every_format_exports_the_same_records(polled: Site) -> None:
    everything = json.loads(polled.run("records", "export", "--format", "json").out)
    uids = [record["uid"] for record in everything]
    rows = list(csv.DictReader(io.StringIO(polled.run("records", "export", "--format", "csv").out)))
    assert [row["uid"] for row in rows] == uids
    assert [row["user"] for row in rows] == [record["user"] for record in everything]
    written = polled.run("records", "export", "--output", "records.apel")
    assert (written.code, written.out) == (0, "")
    text = (polled.folder / "records.apel").read_text(encoding="utf-8")
    going = [record["uid"] for record in everything if not record["held"]]
    assert text.startswith("APEL-cloud-message: v0.4\n")
    assert [line[8:] for line in text.splitlines() if line.startswith("VMUUID: ")] == going
    assert text.endswith("%%\n")


def test_a_parquet_file_holds_the_same_records(polled: Site) -> None:
    everything = json.loads(polled.run("records", "export", "--format", "json").out)
    done = polled.run("records", "export", "--format", "parquet", "--output", "records.parquet")
    assert (done.code, done.err) == (0, "")
    assert parquet.read_table(polled.folder / "records.parquet").to_pylist() == everything


def test_parquet_without_pyarrow_says_how_to_get_it(
    polled: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pyarrow.py").write_text("raise ImportError")
    monkeypatch.setitem(polled.hidden, "PYTHONPATH", str(tmp_path))
    code, said = polled.fails("records", "export", "--format", "parquet", "--output", "x.parquet")
    assert code == 1
    assert "install notebooks-accounting[parquet]" in said
    assert not list(polled.folder.glob("*x.parquet*"))


def test_a_push_delivers_once_and_tells_what_is_held(polled: Site) -> None:
    held = held_records(polled)
    first = json.loads(polled.run("push", "--json").out)
    assert first["records"] > 20
    assert (first["sent"], first["pending"], first["error"]) == (first["built"], 0, None)
    assert sum(first["held"].values()) == len(held)
    second = polled.run("push", "--json")
    assert json.loads(second.out)["built"] == 0
    assert json.loads(second.out)["left_out"] == first["left_out"] == first["left_out_new"] > 0
    assert second.code == 0, "all that is left was told before"
    status = json.loads(polled.run("db", "status", "--json").out)
    assert status["messages"].pop("sent") == first["sent"]
    assert set(status["messages"].values()) == {0}


def test_who_looks_sees_how_far_a_push_has_come(polled: Site) -> None:
    seen = polled.seen("push")
    assert "pushing records" in seen
    assert "messages delivered" in seen
    shares = [int(share) for share in re.findall(r"(\d+)%", seen)]
    assert 50 < shares[-1] < 100, "all but what the spool cannot carry"


def test_a_month_is_delivered_republished_and_added_up(polled: Site) -> None:
    pushed = json.loads(polled.run("push", "--json").out)
    totals = json.loads(polled.run("records", "summary", "--json").out)
    assert sum(row["delivered"]["pods"] for row in totals) == pushed["records"]
    assert sum(row["pods"] for row in totals) == pushed["records"] + pushed["left_out"]
    month = totals[0]["month"]
    sent = sum(row["delivered"]["pods"] for row in totals if row["month"] == month)
    by_user = json.loads(
        polled.run("records", "summary", "--month", month, "--by", "user", "--json").out
    )
    pods = sum(row["pods"] for row in totals if row["month"] == month)
    assert sum(row["pods"] for row in by_user) == pods
    shown = polled.run("republish", "--month", month, "--dry-run")
    assert "nothing was queued" in shown.out
    assert json.loads(polled.run("push", "--json").out)["built"] == 0
    connection = sqlite3.connect(polled.folder / "accounting.db")
    connection.execute(
        "UPDATE delivered SET text = replace(text, 'CpuDuration: ', 'CpuDuration: 9'"
        "), digest = 'x' WHERE uid = (SELECT min(uid) FROM delivered)"
    )
    connection.commit()
    connection.close()
    assert json.loads(polled.run("records", "list", "--differing", "--json").out) == []
    told = json.loads(polled.run("republish", "--month", month, "--dry-run", "--json").out)
    assert told["counts"] == {"same": sent - 1, "changed": 1, "never sent": pods - sent}
    (difference,) = (one for one in told["differences"] if one["kind"] == "changed")
    assert difference["cpu_seconds"] < 0
    assert list(difference["changes"]) == ["CpuDuration"]
    assert "CpuDuration 9" in polled.run("republish", "--month", month, "--dry-run").out
    done = json.loads(polled.run("republish", "--month", month, "--json").out)
    assert done["queued"] == pods
    assert json.loads(polled.run("push", "--json").out)["records"] == sent
    again = json.loads(polled.run("republish", "--month", month, "--changed", "--json").out)
    assert (again["queued"], again["counts"]["changed"]) == (pods - sent, 0)
    connection = sqlite3.connect(polled.folder / "accounting.db")
    (one,) = connection.execute("SELECT min(uid) FROM delivered").fetchone()
    connection.execute("UPDATE records SET year = 2020, digest = 'y' WHERE uid = ?", [one])
    connection.execute("UPDATE queued SET year = 2020, final = true WHERE uid = ?", [one])
    connection.execute(
        "INSERT INTO revisions SELECT DISTINCT 2020, month, 1 FROM records WHERE uid = ?", [one]
    )
    connection.commit()
    connection.close()
    (late,) = json.loads(polled.run("records", "list", "--differing", "--json").out)
    assert late["month"].startswith("2020-")
    said_of_it = polled.run("records", "show", late["uid"]).err
    assert f"the record of {late['month']} differs from what was sent" in said_of_it
    assert "1 correction is waiting: closed months differ" in polled.run("records", "summary").err
    code, said = polled.fails("republish", "--month", "2001-01", "--dry-run")
    assert (code, "no record of 2001-01" in said) == (1, True)
    assert polled.run("republish").code == 2


def test_the_outbox_can_be_looked_at_and_handled(polled: Site, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    wrong_path = {"SSM__DIRQ_PATH": str(tmp_path / "file"), "SSM__RETRY_FIRST": "1h"}
    failed = polled.run("push", **wrong_path)
    assert failed.code == 1
    assert "notice: the next try is at" in failed.err
    wrong = json.loads(polled.run("outbox", "status", "--json").out)[0]
    assert (wrong["messages"]["pending"], wrong["failure"]["kind"]) == (1, "unavailable")
    assert "cannot be written" in polled.run("outbox", "status").out
    assert polled.run("push", **wrong_path).code == 3
    assert polled.run("outbox", "park", "1").code == 0
    (parked,) = json.loads(polled.run("outbox", "list", "--state", "parked", "--json").out)
    assert (parked["id"], parked["failure"]["kind"]) == (1, "operator")
    assert "parked by the operator" in polled.run("outbox", "list").out
    assert polled.run("outbox", "retry", "1").code == 0
    (tmp_path / "beside").mkdir()
    elsewhere = polled.copied(tmp_path / "beside").run("push")
    assert elsewhere.code == 3
    assert "waiting for a destination that is not in the settings" in elsewhere.err
    moved = polled.run("outbox", "readdress", wrong["name"])
    assert "1 messages wait for dirq://" in moved.out
    assert json.loads(polled.run("push", "--json").out)["sent"] == 1
    shown = json.loads(polled.run("outbox", "show", "1", "--json").out)
    assert (shown["state"], len(shown["taken"])) == ("sent", shown["records"])
    assert "as then" in polled.run("outbox", "show", "1").out
    assert "nothing keeps" in polled.run("outbox", "resume").out
    for command in ("retry", "park", "withdraw"):
        code, said = polled.fails("outbox", command, "1")
        assert (code, "message 1 is sent" in said) == (1, True)
    assert polled.fails("outbox", "show", "9")[0] == 1
    assert polled.fails("outbox", "readdress", "nowhere")[0] == 1


def test_a_record_is_shown_with_the_messages_that_took_it(polled: Site) -> None:
    uid = json.loads(polled.run("records", "list", "--json", "--sendable").out)[0]["uid"]
    before = polled.run("records", "show", uid)
    assert "notice: no message has taken the record of" in before.err
    started = time.time()
    polled.run("push")
    for record in json.loads(polled.run("records", "show", uid, "--json").out):
        (message,) = record["messages"]
        assert list(message) == ["empaid", "destination", "state", "broker_id", "sent_at"]
        assert message["state"] == "sent"
        assert message["broker_id"]
        assert started <= message["sent_at"] <= time.time()
        after = polled.run("records", "show", uid, "--month", record["month"])
        assert f"Messages that took the record of {record['month']}" in after.out
        assert message["empaid"] in after.out
        assert message["broker_id"] in after.out
        assert f"{datetime.fromtimestamp(message['sent_at'], UTC):%Y-%m-%d %H:%M:%SZ}" in after.out
        assert after.err == ""


def test_a_poll_forgets_users_when_their_time_is_over(polled: Site) -> None:
    polled.run("push")
    connection = sqlite3.connect(polled.folder / "accounting.db")
    ended = connection.execute("SELECT count(*) FROM pods WHERE ended").fetchone()[0]
    connection.execute("UPDATE pods SET last_running_at = last_running_at - 2 * 86400 WHERE ended")
    held = "SELECT count(*) FROM pods WHERE ended AND user <> 'erased'"
    connection.commit()
    assert json.loads(polled.run("poll", "--json").out)["forgotten"] == 0
    first = polled.run("poll", VO__USER_RETENTION_DAYS="1")
    left = connection.execute(held).fetchone()[0]
    forgotten = ended - left
    assert forgotten > 10
    assert f"in {forgotten:,} pods" in first.out
    again = polled.run("poll", "--json", VO__USER_RETENTION_DAYS="1")
    assert json.loads(again.out)["forgotten"] == 0
    connection.close()


def test_users_whose_records_are_not_delivered_are_not_forgotten(polled: Site) -> None:
    connection = sqlite3.connect(polled.folder / "accounting.db")
    connection.execute("UPDATE pods SET last_running_at = last_running_at - 2 * 86400")
    connection.commit()
    polled.run("poll", VO__USER_RETENTION_DAYS="1")
    due = "held = '' AND uid NOT IN (SELECT uid FROM queued)"
    names = f"SELECT count(*), sum(user = 'erased') FROM records WHERE {due}"  # noqa: S608
    count, erased = connection.execute(names).fetchone()
    connection.close()
    assert count > 20
    assert erased == 0


@pytest.mark.parametrize("columns", [60, 80])
def test_lists_fit_a_narrow_terminal_and_no_number_or_time_is_cut(
    columns: int, polled: Site
) -> None:
    polled.run("push")
    month = max(record["month"] for record in held_records(polled))
    for command in (
        ("records", "list"),
        ("records", "list", "--held"),
        ("records", "summary", "--by", "user"),
        ("outbox", "list"),
        ("outbox", "show", "1"),
        ("db", "windows"),
        ("db", "gaps"),
        ("republish", "--month", month, "--dry-run"),
    ):
        shown = re.sub(r"\x1b\[[0-9;]*m", "", polled.seen(*command, columns=columns, results=True))
        lines = shown.splitlines()
        assert lines, command
        assert all(len(line) <= columns for line in lines), command
        assert not re.search(r"\d…", shown), command
    listed = polled.seen("records", "list", columns=columns, results=True)
    for record in json.loads(polled.run("records", "list", "--json").out):
        assert f" {record['wall_seconds']:,} " in listed


def test_a_record_is_on_two_lines_of_a_narrow_terminal_and_found_by_its_first_signs(
    polled: Site,
) -> None:
    records = json.loads(polled.run("records", "list", "--json").out)
    record = next(one for one in records if not one["held"])
    shown = polled.seen("records", "list", columns=80, results=True)
    lines = re.sub(r"\x1b\[[0-9;]*m", "", shown).splitlines()
    short = record["uid"][:8]
    first = next(place for place, line in enumerate(lines) if line.startswith(short))
    assert f"{record['wall_seconds']:,}" in lines[first]
    assert record["vo"] in lines[first + 1]
    whole = polled.run("records", "show", short)
    assert whole.code == 0, whole
    assert record["uid"] in whole.out
    assert f"{datetime.fromtimestamp(record['start_at'], UTC):%Y-%m-%d %H:%M:%SZ}" in whole.out
    assert str(record["start_at"]) not in whole.out
    code, said = polled.fails("records", "show", "no-such-pod")
    assert (code, "there is no record of 'no-such-pod'" in said) == (1, True)
    first_signs = Counter(uid[:1] for uid in {one["uid"] for one in records})
    sign, pods = first_signs.most_common(1)[0]
    assert pods > 1
    code, said = polled.fails("records", "show", sign)
    assert (code, f"'{sign}' begins the uid of more than one pod" in said) == (1, True)


def test_a_shell_completes_commands_and_options(site: Site) -> None:
    done = subprocess.run(
        [PROGRAM],
        env={
            "PATH": os.environ["PATH"],
            "_NOTEBOOKS_ACCOUNTING_COMPLETE": "complete_bash",
            "COMP_WORDS": "notebooks-accounting records ",
            "COMP_CWORD": "2",
        },
        cwd=site.folder,
        capture_output=True,
        text=True,
        check=True,
    )
    assert {"list", "show", "export", "summary", "acknowledge"} == set(done.stdout.split())


def test_the_ledger_can_be_looked_at(polled: Site) -> None:
    windows = json.loads(polled.run("db", "windows", "--json").out)
    assert windows[0]["spoke"]
    (gap,) = json.loads(polled.run("db", "gaps", "--json").out)
    assert gap["end_at"] - gap["start_at"] > 60
    shown = polled.run("db", "gaps")
    assert f"{(gap['end_at'] - gap['start_at']) / 60:,.1f}" in shown.out
    assert polled.run("db", "upgrade").out.endswith(f"is of version {HEAD}\n")


def test_a_user_is_erased_and_totals_stay(polled: Site) -> None:
    listed = json.loads(polled.run("records", "list", "--json", "--sendable").out)
    user = next(r["user"] for r in listed if r["status"] == "completed")
    totals = polled.run("records", "summary", "--json").out
    assert polled.run("db", "erase-user", user, "--yes").code == 0
    assert polled.run("records", "summary", "--json").out == totals
    assert json.loads(polled.run("records", "list", "--json", "--user", user).out) == []
    code, said = polled.fails("db", "erase-user", user, "--yes")
    assert (code, "no notebook is of a user" in said) == (1, True)


def test_doctor_exits_1_for_a_failure_and_0_otherwise(site: Site) -> None:
    good = site.run("doctor", "--json")
    assert good.code == 0, good
    assert {finding["state"] for finding in json.loads(good.out)} == {"ok"}
    bad = site.run("doctor", PROMETHEUS__URL=f"http://127.0.0.1:{free_port()}")
    assert bad.code == 1
    assert "failed  Prometheus" in bad.out


@contextmanager
def web_page() -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html><body>Please log in</body></html>")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_a_prometheus_that_is_down_loses_nothing(polled: Site) -> None:
    before = polled.run("db", "status", "--json").out
    code, said = polled.fails("poll", PROMETHEUS__URL=f"http://127.0.0.1:{free_port()}")
    assert code == 1
    assert "cannot be reached" in said
    assert "ACCOUNTING_PROMETHEUS__URL" in said
    assert polled.run("db", "status", "--json").out == before


def test_a_web_page_in_place_of_prometheus_loses_nothing(polled: Site) -> None:
    before = polled.run("db", "status", "--json").out
    with web_page() as url:
        code, said = polled.fails("poll", PROMETHEUS__URL=url)
    assert code == 1
    assert "a web page instead of the query API's JSON" in said
    assert polled.run("db", "status", "--json").out == before


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"SITE_NAME": ""}, "ACCOUNTING_SITE_NAME is not set"),
        ({"SITE_NAME": "Köln site"}, "is not a GOCDB site name"),
        ({"PROMETHEUS__NAMESPACE": ""}, "ACCOUNTING_PROMETHEUS__NAMESPACE is not set"),
        ({"PROMETHEUS__TIMOUT": "3s"}, "did you mean ACCOUNTING_PROMETHEUS__TIMEOUT?"),
        ({"PROMETHEUS__CA_FILE": "/nowhere.pem"}, "ACCOUNTING_PROMETHEUS__CA_FILE: /nowhere.pem"),
        ({"DATABASE_URL": "oracle-of-delphi"}, "ACCOUNTING_DATABASE_URL"),
        ({"CONFIG": "nowhere.yaml"}, "nowhere.yaml cannot be read"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_wrong_setting_is_wrong_use(changes: dict[str, str], said: str, site: Site) -> None:
    code, error = site.fails("poll", **changes)
    assert code == 2
    assert said in error
    assert not (site.folder / "accounting.db").exists()


def test_a_broken_file_of_settings_is_told_with_line_and_column(site: Site) -> None:
    (site.folder / "settings.yaml").write_text("site_name: X\n  prometheus: y\n")
    code, said = site.fails("--config", "settings.yaml", "poll")
    assert code == 2
    assert "is not YAML at line 2, column 13" in said


@pytest.mark.parametrize(
    "arguments",
    [
        ["poll", "--since", "yesterday"],
        ["poll", "--since", "1"],
        ["poll", "--since", "nan"],
        ["poll", "--until", "2099-01-01"],
        ["poll", "--since", "2026-01-02", "--until", "2026-01-01"],
        ["records", "list", "--month", "2026-13"],
        ["records", "list", "--status", "lost"],
        ["records", "export", "--format", "parquet"],
        ["push", "--url", "http://localhost:8000"],
        ["serve", "--port", "70000"],
        ["serve", "--host", "192.0.2.1", "--port", "0"],
        ["nonsense"],
    ],
    ids=" ".join,
)
def test_wrong_use_exits_2_and_makes_nothing(arguments: list[str], site: Site) -> None:
    result = site.run(*arguments)
    assert result.code == 2
    assert "Traceback" not in result.err
    assert "rror: " in result.err
    assert list(site.folder.iterdir()) == []


def test_an_unwritable_database_is_told(site: Site) -> None:
    code, said = site.fails("poll", DATABASE_URL="sqlite:////proc/ledger.db")
    assert code == 1
    assert "/proc/ledger.db" in said


def test_a_database_of_another_version_is_left_alone(polled: Site) -> None:
    connection = sqlite3.connect(polled.folder / "accounting.db")
    connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.commit()
    connection.close()
    code, said = polled.fails("poll")
    assert (code, "of version 9999" in said) == (1, True)
    code, said = polled.fails("db", "upgrade")
    assert "newer notebooks-accounting" in said


def test_an_empty_ledger_is_told_and_not_made(site: Site) -> None:
    code, said = site.fails("records", "list")
    assert (code, "holds nothing yet" in said) == (1, True)
    assert not (site.folder / "accounting.db").exists()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.create(tmp_path_factory.mktemp("ca"))


def certificate(authority: Authority, fault: str) -> tuple[Path, Path]:
    begin = datetime.now(UTC) - timedelta(days=30)
    good = authority.issue("host.example.org")
    if fault == "expired":
        return authority.issue("host.example.org", not_before=begin, days=29)
    if fault == "wrong key":
        return good.cert, authority.issue("host.example.org").key
    return good.cert, authority.directory / "missing.key"


@pytest.mark.parametrize(
    ("fault", "said"),
    [("expired", "expired on"), ("wrong key", "key"), ("missing", "There is no host key")],
)
def test_a_bad_certificate_stops_the_push_and_the_next_one_delivers(
    fault: str, said: str, authority: Authority, polled: Site
) -> None:
    with AmsStandin(authority) as broker:
        ams = {
            "SSM__TRANSPORT": "ams",
            "SSM__AMS_HOST": broker.host,
            "SSM__AMS_PORT": str(broker.port),
            "SSM__AUTHN_PORT": str(broker.authn_port),
            "SSM__CA_FILE": str(authority.ca_file),
        }
        for files, code in ((certificate(authority, fault), 1), (authority.issue("h.org"), 3)):
            names = {"SSM__HOSTCERT": str(files[0]), "SSM__HOSTKEY": str(files[1])}
            if code == 1:
                failed, error = polled.fails("push", **ams, **names)
                assert failed == 1
                assert said in error
                waiting = json.loads(polled.run("db", "status", "--json").out)
                assert waiting["messages"]["pending"] == 1
            else:
                assert polled.run("push", **ams, **names).code == code
        assert len(broker.broker.log) == 1


def test_an_unexpected_error_is_one_line_and_a_traceback_with_verbose(polled: Site) -> None:
    connection = sqlite3.connect(polled.folder / "accounting.db")
    connection.execute("UPDATE records SET flags = 'not json'")
    connection.commit()
    connection.close()
    code, said = polled.fails("records", "list")
    assert code == 1
    assert said.startswith("error: unexpected DecodeError: ")
    assert "in record_of, rows.py line" in said
    assert "--verbose" in said
    assert "Traceback" in polled.run("--verbose", "records", "list").err


def test_a_reader_that_has_seen_enough_ends_the_program_quietly(polled: Site) -> None:
    pipe = f"{PROGRAM} records export --format csv | head -1"
    done = subprocess.run(
        ["sh", "-c", pipe], cwd=polled.folder, capture_output=True, text=True, check=False
    )
    assert done.stdout.startswith("uid,month")
    assert done.stderr == ""


def test_help_loads_nothing_heavy(site: Site) -> None:
    assert site.run("--help").code == 0
    loaded = subprocess.run(
        [sys.executable, "-c", "import accounting.cli, sys; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    heavy = {"pydantic", "sqlalchemy", "fastapi", "httpx", "structlog", "requests", "cryptography"}
    assert heavy.isdisjoint(loaded)
