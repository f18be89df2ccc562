"""``records`` and ``db``: lists, one record, exports, erasure; wide and narrow terminals."""

import csv
import io
import json
import re
import sqlite3
import time
from collections import Counter
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pyarrow import parquet
from rich.console import Console

from accounting.cli import output
from accounting.store.engine.database import HEAD
from tests.cli.site import Site, held_records


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


@pytest.mark.parametrize("columns", [60, 80])
def test_sums_are_one_line_of_a_narrow_terminal_and_what_differs_is_below(
    columns: int, polled: Site
) -> None:
    shown = seen(polled, "records", "summary", columns=columns)
    for row in json.loads(polled.run("records", "summary", "--json").out):
        month = shown.partition(f"Used within {row['month']}")[2]
        figures = [
            f"{row[state]['pods']} {row[state]['wall_seconds'] / 3600:,.2f}"
            for state in ("measured", "delivered")
        ]
        assert f"{row['vo']} {figures[0]}" in month
        assert f"delivered {figures[1]}" in month.partition(figures[0])[2]


def test_differences_name_pods_by_their_first_signs_on_a_narrow_terminal(polled: Site) -> None:
    records = json.loads(polled.run("records", "list", "--json", "--sendable").out)
    one = records[0]
    shown = seen(polled, "republish", "--month", one["month"], "--dry-run", columns=60)
    assert one["uid"][:8] in shown
    assert one["uid"] not in shown
    assert f"+{one['wall_seconds']:,} " in shown


def seen(site: Site, *command: str, columns: int) -> str:
    """What a terminal shows, one space between words."""
    shown = re.sub(r"\x1b\[[0-9;]*m", "", site.seen(*command, columns=columns, results=True))
    return " ".join(shown.split())


def test_a_table_takes_room_from_columns_that_have_it_and_titles_stay_whole(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "readers_console", lambda: Console(width=60))
    title = "ams://msg.example.org/accounting/eu-egi-cloud-accounting"
    row = ("004766b6", "training.example.org", "never sent", "+15,366", "+11,841")
    output.table(title, ("pod", "VO", "", ">wall s", ">CPU s"), [row])
    shown = capsys.readouterr().out
    assert shown.splitlines()[0] == title
    for word in (*row[:2], *row[3:], "never", "sent"):
        assert f" {word} " in f"{shown} "
    assert all(len(line) <= 60 for line in shown.splitlines())
    output.table(title, ("", ""), [("due", "3")])
    assert title in capsys.readouterr().out


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
    assert "Warning" not in whole.err
    assert f"{datetime.fromtimestamp(record['start_at'], UTC):%Y-%m-%d %H:%M:%SZ}" in whole.out
    assert str(record["start_at"]) not in whole.out
    code, said = polled.fails("records", "show", "no-such-pod")
    assert (code, "there is no record of 'no-such-pod'" in said) == (1, True)
    first_signs = Counter(uid[:1] for uid in {one["uid"] for one in records})
    sign, pods = first_signs.most_common(1)[0]
    assert pods > 1
    code, said = polled.fails("records", "show", sign)
    assert (code, f"'{sign}' begins the uid of more than one pod" in said) == (1, True)


def test_the_ledger_can_be_looked_at(polled: Site) -> None:
    windows = json.loads(polled.run("db", "windows", "--json").out)
    assert windows[0]["spoke"]
    (gap,) = json.loads(polled.run("db", "gaps", "--json").out)
    assert gap["end_at"] - gap["start_at"] > 60
    shown = polled.run("db", "gaps")
    assert f"{(gap['end_at'] - gap['start_at']) / 60:,.1f}" in shown.out
    assert polled.run("db", "upgrade").out.endswith(f"is of version {HEAD}\n")


def test_totals_that_were_changed_by_hand_are_told_and_made_anew(polled: Site) -> None:
    assert json.loads(polled.run("db", "totals", "--json").out) == {"differing": []}
    with closing(sqlite3.connect(polled.folder / "accounting.db")) as connection:
        changed = connection.execute("UPDATE month_totals SET wall = wall + 1")
        assert changed.rowcount > 0
        connection.commit()
    code, said = polled.fails("db", "totals")
    assert (code, "db totals --rebuild" in said) == (1, True)
    assert (
        polled.run("db", "totals", "--rebuild").out == "all totals are what the records come to\n"
    )
    assert polled.run("db", "totals").code == 0


def test_a_user_is_erased_and_totals_stay(polled: Site) -> None:
    listed = json.loads(polled.run("records", "list", "--json", "--sendable").out)
    user = next(r["user"] for r in listed if r["status"] == "completed")
    totals = polled.run("records", "summary", "--json").out
    assert polled.run("db", "erase-user", user, "--yes").code == 0
    assert polled.run("records", "summary", "--json").out == totals
    assert json.loads(polled.run("records", "list", "--json", "--user", user).out) == []
    code, said = polled.fails("db", "erase-user", user, "--yes")
    assert (code, "no notebook is of a user" in said) == (1, True)
