"""Wrong use, broken surroundings, help and completion: clear errors, and nothing is made."""

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy.engine.base import RootTransaction
from typer.testing import CliRunner

from accounting.cli import app
from accounting.simulation.stores.engines import free_port
from tests.cli.site import PROGRAM, Site


def test_doctor_exits_1_for_a_failure_and_0_otherwise(site: Site) -> None:
    good = site.run("doctor", "--json")
    assert good.code == 0, good
    assert {finding["state"] for finding in json.loads(good.out)} == {"ok"}
    bad = site.run("doctor", PROMETHEUS__URL=f"http://127.0.0.1:{free_port()}")
    assert bad.code == 1
    assert "failed  Prometheus" in bad.out


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


def test_a_signal_that_a_library_hides_behind_its_own_error_is_still_a_signal(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It came within SQLAlchemy's commit, which found its transaction half-ended."""

    def half_ended(_: RootTransaction) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(RootTransaction, "_do_commit", half_ended)
    monkeypatch.setenv("ACCOUNTING_SITE_NAME", "EXAMPLE")
    monkeypatch.setenv("ACCOUNTING_DATABASE_URL", f"sqlite:///{tmp_path}/accounting.db")
    done = CliRunner().invoke(app, ["db", "upgrade"])
    assert (done.exit_code, "unexpected" in done.stderr) == (3, False)
    assert "error: stopped by a signal" in done.stderr


def test_a_reader_that_has_seen_enough_ends_the_program_quietly(polled: Site) -> None:
    pipe = f"{PROGRAM} records export --format csv | head -1"
    done = subprocess.run(
        ["sh", "-c", pipe], cwd=polled.folder, capture_output=True, text=True, check=False
    )
    assert done.stdout.startswith("uid,month")
    assert done.stderr == ""


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
