"""Records found by names: where such records are is looked up among the totals."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from accounting.lookup import names
from accounting.lookup import records as lookup
from accounting.lookup.records import Question
from accounting.model.pods import Account, Reading
from accounting.model.time import Month
from accounting.store.engine.access import Right, Viewer
from accounting.store.engine.database import Database
from accounting.store.records import Records, Selection
from tests.api.serving import Serve
from tests.delivery.books import NOVEMBER, account, opened, ran_on, write
from tests.statements import asked_of, plan

READ = frozenset({Right.READ})
ADMIN = Viewer("admin", READ, is_admin=True)
VIEWERS = (
    ADMIN,
    Viewer("mia", READ, vos=frozenset({"vo0"}), user="user-1@example.org"),
    Viewer("ada", READ, user="user-2@example.org"),
)
SELECTIONS = [
    Selection(contains=(("user", "SER-1"),)),
    Selection(contains=(("user", "nobody"),)),
    Selection(contains=(("vo", "O0"), ("image", "book:2"))),
    Selection(flavor="small", month=NOVEMBER),
    Selection(flavor="unheard-of"),
    Selection(image="registry.example.org/notebook:1", contains=(("vo", "vo"),)),
    Selection(contains=(("flavor", "M"),), since=NOVEMBER.start, until=NOVEMBER.end),
    Selection(contains=(("flavor", "m"),), month=NOVEMBER.next),
]


def _pages() -> list[Account]:
    """Notebooks that have ended, that run on, and that have run into the next month."""
    pages = []
    for number in range(12):
        page = account(number, user=f"user-{number % 4}@example.org", group=f"vo{number % 3}")
        page.pod.image = f"registry.example.org/notebook:{number % 5}"
        page.pod.ended = number % 2 == 0
        if number % 4 == 0:
            end = NOVEMBER.last_second
            page.readings[NOVEMBER] = Reading(end, 10.0, None, None)
            page = ran_on(page, NOVEMBER.end + 600 - page.pod.last_running_at, ended=number == 8)
        pages.append(page)
    return pages


def _is_named(record: Any, selection: Selection) -> bool:
    said = {"user": record.user, "vo": record.vo.name}
    said |= {"flavor": record.flavor, "image": record.image}
    exact = {"flavor": selection.flavor, "image": selection.image}
    return all(said[name] == value for name, value in exact.items() if value) and all(
        text.lower() in said[name].lower() for name, text in selection.contains
    )


@pytest.mark.parametrize("few", [1000, 3, 0], ids=["by users", "some by users", "by months"])
def test_what_names_select_is_found_whole(
    few: int, ledger: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(names, "_FEW", few)
    write(ledger, _pages())
    everything = list(Records(ledger).find())
    assert {record.month for record in everything} == {NOVEMBER, NOVEMBER.next}
    may_see: list[Callable[[Any], bool]] = [
        lambda _: True,
        lambda record: record.vo.name == "vo0" or record.user == "user-1@example.org",
        lambda record: record.user == "user-2@example.org",
    ]
    for selection in SELECTIONS:
        month = NOVEMBER if selection.since else selection.month
        for viewer, may in zip(VIEWERS, may_see, strict=True):
            expected = {
                (record.uid, record.month)
                for record in everything
                if may(record) and _is_named(record, selection) and month in {None, record.month}
            }
            asked = Question(selection)
            found = [one.record for one in lookup.page(ledger, viewer, asked).entries]
            assert {(record.uid, record.month) for record in found} == expected
            assert lookup.count(ledger, viewer, asked) == len(found) == len(expected)
            pods, wall, _ = lookup.used(ledger, viewer, asked)
            assert pods == len({uid for uid, _ in expected})
            assert wall == sum(record.used_wall_seconds for record in found)


def test_the_page_tells_what_all_that_are_named_come_to(serve: Serve) -> None:
    running = serve()
    write(running.service.database, _pages())
    found = [r for r in Records(running.service.database).find() if "user-0" in r.user]
    assert len({record.uid for record in found}) < len(found)
    page = running.get("/records?user=SER-0").text
    assert f"{len(found)}</data> records match. Their usage:" in page


def test_for_a_name_that_no_record_has_none_is_read(tmp_path: Path) -> None:
    with opened(tmp_path) as database:
        write(database, _pages())
        question = Question(Selection(contains=(("user", "nobody"),), month=Month(2026, 11)))
        with asked_of(database.engine) as asked:
            assert lookup.page(database, ADMIN, question).entries == []
        with database.begin(reading=True) as connection:
            read = [
                step
                for one in asked
                if one.statement.startswith("SELECT")
                for step in plan(connection, one)
                if re.search(r"(SCAN|SEARCH) records", step)
            ]
        assert read
        assert all("ix_records_apart" in step for step in read), read
