"""Files from rows as the ledger keeps them say what files from records say."""

import io
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from msgspec import json
from pyarrow import parquet

from accounting.lookup import streams
from accounting.lookup.records import Question, page
from accounting.model.accelerators import Accelerator
from accounting.model.time import Month
from accounting.records import builder
from accounting.records.formats import tabular
from accounting.records.formats.export import TABLES, WRITERS, Format, row_of
from accounting.store.engine.access import Right, Viewer
from accounting.store.engine.database import Database
from accounting.store.records import Selection
from accounting.store.rows import RECORD_COLUMNS, record_row
from accounting.store.tables import records as table
from tests.delivery.books import RULES, SITE, account

ADMIN = Viewer("admin", frozenset(Right), is_admin=True)
SLICE = Accelerator("nvidia_com_gpu", "GPU", "A100", 0.1 + 0.2, 1.0, 3600, None, 1e17)


RECORDS = 36


def _fill(database: Database) -> None:
    (first,) = builder.records(account(1), SITE, RULES)
    kinds: list[dict[str, Any]] = [
        {},
        {"flags": ('a "quoted" flag', "another; one")},
        {"accelerators": (SLICE, replace(SLICE, count=None, joules=None))},
        {"user": "=1+1", "problem": "two\nlines"},
        {"core_seconds": 0.1 + 0.2, "memory_mb_seconds": 1.5e20, "cpu_seconds": None},
        {"core_seconds": 3603.75, "memory_mb_seconds": 1e-5, "gpu_seconds": 2.0, "image": "a,b"},
        {"user": "+plain"},
        {"user": "@plain", "core_seconds": -0.5, "gpu_seconds": 1e15, "flavor": "x\ry"},
        {
            "user": "-plain",
            "core_seconds": 1 / 3,
            "image": "\N{LATIN SMALL LETTER U WITH DIAERESIS}",
        },
        {"uid": "5,2026-10"},
        {"uid": "3\n3,2026-10"},
        {"uid": '8"8', "flags": ("a flag",)},
    ]
    found = [
        replace(first, month=month, **{"uid": f"{number}", **change})
        for number, change in enumerate(kinds)
        for month in (Month(2026, 9), Month(2026, 10), Month(2027, 1))
    ]
    with database.begin() as connection:
        database.write(connection, table, RECORD_COLUMNS, list(map(record_row, found)))


@pytest.fixture
def database(ledger: Database) -> Database:
    _fill(ledger)
    return ledger


@pytest.mark.parametrize("at_once", [3, 4])
def test_tables_from_rows_are_those_from_records(
    database: Database, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(streams, "_AT_ONCE", at_once)
    monkeypatch.setattr(streams, "_LINES_AT_ONCE", at_once)
    portions = list(streams.stream_lines(database, ADMIN, Question()))
    assert sum(len(portion.rows) for portion in portions) < RECORDS, (
        "most are lines of the database"
    )
    question = Question(Selection(limit=6))
    files = [
        {
            kind: b"".join(TABLES[kind](streams.stream_lines(database, ADMIN, question)))
            for kind in TABLES
        },
        {
            kind: b"".join(WRITERS[kind](streams.stream(database, ADMIN, question)))
            for kind in TABLES
        },
    ]
    assert files[0][Format.CSV] == files[1][Format.CSV]
    assert files[0][Format.CSV].count(b"\n") > RECORDS
    read = [parquet.read_table(io.BytesIO(one[Format.PARQUET])) for one in files]
    assert read[0].to_pylist() == read[1].to_pylist()
    assert read[0].num_rows == RECORDS, "a file has all pages"


def test_a_record_in_a_list_says_what_the_record_says(database: Database) -> None:
    entries = page(database, ADMIN, Question(Selection(limit=RECORDS + 1))).entries
    assert len(entries) == RECORDS
    for entry in entries:
        said, whole = json.encode(entry.values), json.encode(row_of(entry.record))
        assert said == whole


def test_records_that_come_or_go_while_pages_are_read_are_neither_lost_nor_doubled(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "_AT_ONCE", 4)
    monkeypatch.setattr(streams, "_LINES_AT_ONCE", 4)
    line = streams._line(is_sqlite=database.is_sqlite)
    read = partial(streams._lines, line, streams._columns())
    pages = list(streams._ranges(database, ADMIN, Question(), read))
    with database.begin() as connection:
        connection.execute(table.delete().where(table.c.uid == "1"))
        (first,) = builder.records(account(1), SITE, RULES)
        come = [replace(first, month=Month(2026, 9), uid=f"0{number}") for number in range(7)]
        database.write(connection, table, RECORD_COLUMNS, list(map(record_row, come)))
    found = b"".join(tabular.csv_of(page().portion for page in pages))
    assert found == b"".join(WRITERS[Format.CSV](streams.stream(database, ADMIN, Question())))


def test_pages_that_are_read_together_come_in_their_order() -> None:
    at_work = threading.Barrier(2)
    begun: list[int] = []

    def page(number: int) -> Callable[[], int]:
        def read() -> int:
            at_work.wait(10)  # for the next one
            return number

        begun.append(number)
        return read

    found = streams.together(map(page, range(6)), 2)
    assert begun == [], "nothing is read before it is wanted"
    assert next(found) == 0
    assert begun == [0, 1, 2, 3], "no more than are read at a time, and one that is next"
    assert list(found) == [1, 2, 3, 4, 5]


def test_a_page_that_fails_ends_the_pages() -> None:
    def fail() -> int:
        raise ValueError("no second")

    found = streams.together(iter([lambda: 1, fail, lambda: 3]), 2)
    assert next(found) == 1
    with pytest.raises(ValueError, match="no second"):
        next(found)


def test_an_iterator_that_is_dropped_leaves_no_thread() -> None:
    before = set(threading.enumerate())
    found = streams.together((partial(str, one) for one in ("first", "second", "third")), 2)
    assert next(found) == "first"
    readers = set(threading.enumerate()) - before
    assert readers
    del found
    for reader in readers:
        reader.join(10)
        assert not reader.is_alive()
