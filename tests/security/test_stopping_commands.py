"""Signals end commands in good order: nothing is sent twice, nothing is done by half."""

import json
import os
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest
from sqlalchemy import make_url, text

from accounting.store.engine.database import HEAD, Database
from ssm.testing.authority import Authority
from ssm.testing.fault import Fault
from ssm.testing.standin import AmsStandin
from tests.broker import delivery_to
from tests.cli.conftest import cloud
from tests.cli.site import Cloud
from tests.delivery.books import account, write
from tests.security.proxy import proxied
from tests.security.test_stopping import PROGRAM, wait_until

__all__ = ["cloud"]
INCOMPLETE = 3
SIGNALS = [signal.SIGTERM, signal.SIGINT]

Process = subprocess.Popen[str]


@contextmanager
def asked(folder: Path, *command: str, **changes: str) -> Iterator[Process]:
    """A command under way."""
    environment = {
        "PATH": os.environ["PATH"],
        "ACCOUNTING_SITE_NAME": "EXAMPLE",
        "ACCOUNTING_PROMETHEUS__URL": "http://127.0.0.1:9",
        "ACCOUNTING_PROMETHEUS__NAMESPACE": "jupyterhub",
        "ACCOUNTING_DATABASE_URL": f"sqlite:///{folder}/accounting.db",
        "ACCOUNTING_SSM__TRANSPORT": "dirq",
        "ACCOUNTING_SSM__DIRQ_PATH": str(folder / "spool"),
        **{f"ACCOUNTING_{name}": value for name, value in changes.items()},
    }
    with subprocess.Popen(
        [PROGRAM, *command],
        env=environment,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def ended(process: Process) -> tuple[int, str, str]:
    """Its exit code, and what it said; a person is shown no traceback."""
    out, err = process.communicate(timeout=60)
    assert "Traceback" not in err
    return process.returncode, out, err


def books(folder: Path, count: int = 3) -> None:
    with Database(f"sqlite:///{folder}/accounting.db") as database:
        database.upgrade()
        write(database, [account(n) for n in range(count)])


def fetched(folder: Path, query: str) -> object:
    with closing(sqlite3.connect(folder / "accounting.db")) as connection:
        return connection.execute(query).fetchone()[0]


COMMANDS = [
    ["poll"],
    ["push"],
    ["republish", "--month", "2026-11"],
    ["import", "egi-notebooks-accounting", "--db", "x.db"],
    ["records", "export", "-o", "out"],
    ["db", "upgrade"],
    ["doctor"],
]


@pytest.mark.parametrize("command", [["serve", "--port", "0"], *COMMANDS], ids=" ".join)
def test_a_signal_at_the_start_ends_everything_at_once(command: list[str], tmp_path: Path) -> None:
    """It is at its settings: they are in a pipe that says nothing."""
    os.mkfifo(tmp_path / "config")
    with asked(tmp_path, *command, CONFIG=str(tmp_path / "config")) as process:
        pipe = -1

        def is_reading() -> bool:
            nonlocal pipe
            with suppress(OSError):
                pipe = os.open(tmp_path / "config", os.O_WRONLY | os.O_NONBLOCK)
            return pipe != -1

        wait_until(is_reading)
        time.sleep(0.2)  # until it waits for what the pipe says
        process.send_signal(signal.SIGTERM)
        code, _, err = ended(process)
        os.close(pipe)
    if command[0] == "serve":
        assert (code, err) == (0, "")
    else:
        assert code == INCOMPLETE
        assert err == "error: stopped by a signal → run it again: nothing is done by half\n"
    assert not (tmp_path / "accounting.db").exists()


@pytest.mark.parametrize("sign", SIGNALS)
def test_a_push_ends_after_its_message_and_the_next_one_sends_the_rest(
    sign: signal.Signals, tmp_path: Path
) -> None:
    authority = Authority.create(tmp_path / "ca")
    host = authority.issue("notebooks.example.org", key="ec")
    books(tmp_path)
    with AmsStandin(authority) as broker:
        broker.fail(Fault.SLOW, calls=1, seconds=3)
        settings = {
            **delivery_to(broker, authority, host),
            "SSM__RECORDS_PER_MESSAGE": "1",
        }
        with asked(tmp_path, "push", "--json", **settings) as process:
            wait_until(lambda: "publish" in broker.calls)
            process.send_signal(sign)  # in the middle of a publish
            if sign is signal.SIGTERM:
                time.sleep(0.3)
                process.send_signal(sign)  # as some send it again
            code, out, err = ended(process)
        assert code == INCOMPLETE
        assert json.loads(out)["sent"] == 1
        assert "the next one goes on from there" in err
        assert len(broker.log) == 1
        with asked(tmp_path, "push", **settings) as process:
            assert ended(process)[0] == 0
        assert broker.calls.count("publish") == len(broker.log) == 3


@pytest.mark.parametrize("sign", SIGNALS)
def test_a_poll_ends_after_its_window_and_the_next_one_goes_on(
    sign: signal.Signals, cloud: Cloud, tmp_path: Path
) -> None:
    port = make_url(cloud.url).port
    assert port is not None
    with proxied(port) as proxy:
        settings = {"PROMETHEUS__URL": f"http://127.0.0.1:{proxy.port}", "POLL__STEP": "5m"}

        def has_begun() -> bool:
            with suppress(sqlite3.Error):
                return bool(fetched(tmp_path, "SELECT count(*) FROM windows"))
            return False

        with asked(tmp_path, "poll", "--json", **settings) as process:
            wait_until(has_begun)
            with proxy.silent():
                time.sleep(0.3)
                process.send_signal(sign)
            code, out, err = ended(process)
        assert code == INCOMPLETE
        polled = json.loads(out)
        assert polled["windows"] < 24
        assert not polled["complete"]
        assert fetched(tmp_path, "SELECT watermark FROM progress") == polled["end"]
        assert "the next one goes on from there" in err
        with asked(tmp_path, "poll", "--json", **settings) as process:
            assert json.loads(ended(process)[1])["start"] == polled["end"]


@pytest.mark.parametrize(
    ("command", "looked_at", "expected"),
    [
        (["republish", "--month", "2026-11"], "SELECT count(*) FROM messages", 0),
        (["db", "totals", "--rebuild"], "SELECT count(*) FROM records", 3),
        (["db", "mend-times"], "SELECT watermark > 2000000000 FROM progress", 1),
        (["db", "erase-user", "--yes", "user-0@example.org"], "SELECT count(*) FROM records", 3),
        (["db", "upgrade"], "SELECT version_num FROM alembic_version", "0015"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
@pytest.mark.parametrize("sign", SIGNALS)
def test_a_command_that_changes_the_ledger_changes_all_or_nothing(
    sign: signal.Signals, command: list[str], looked_at: str, expected: object, tmp_path: Path
) -> None:
    """It waits for another's transaction; the signal comes meanwhile."""
    from alembic.command import downgrade  # noqa: PLC0415 - slow to load, needed here only

    from accounting.store.engine.database import alembic_config  # noqa: PLC0415 - as above

    books(tmp_path)
    with Database(f"sqlite:///{tmp_path}/accounting.db") as database:
        with database.begin() as connection:
            connection.execute(text("UPDATE progress SET watermark = 3000000000"))
            if command[1] == "upgrade":
                config = alembic_config()
                config.attributes["connection"] = connection
                downgrade(config, "0015")
        with asked(tmp_path, *command) as process:
            with database.begin():
                wait_until(lambda: waits_for_lock(process.pid))
                process.send_signal(sign)
                time.sleep(0.2)
            code, _, err = ended(process)
        assert code == INCOMPLETE, err
        assert fetched(tmp_path, looked_at) == expected
        with asked(tmp_path, *command) as process:
            assert ended(process)[0] == 0
        assert database.revision() == HEAD


def waits_for_lock(pid: int) -> bool:
    """Whether it has the database's file open, and waits; SQLite looks every 0.1 s."""
    files = Path(f"/proc/{pid}/fd").iterdir()
    with suppress(OSError):
        return any(one.readlink().name == "accounting.db-wal" for one in files)
    return False


@pytest.mark.parametrize("sign", SIGNALS)
def test_an_export_that_is_stopped_leaves_the_file_that_was_there(
    sign: signal.Signals, tmp_path: Path
) -> None:
    books(tmp_path, 5000)
    output = tmp_path / "out.csv"
    output.write_text("last month's")
    with asked(tmp_path, "records", "export", "--format", "csv", "-o", str(output)) as process:
        partial = output.with_name(".out.csv.partial")
        wait_until(lambda: partial.exists() or process.poll() is not None)
        process.send_signal(sign)
        code, _, _ = ended(process)
    assert code == INCOMPLETE
    assert output.read_text() == "last month's"
    assert not partial.exists()
