"""Who sees what: the same restriction on every way to look at records."""

import csv
import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from accounting.errors import AccountingError
from accounting.lookup import notebooks, records, streams
from accounting.lookup.records import Forbidden, Question
from accounting.lookup.sums.question import By
from accounting.lookup.sums.question import Question as Sum
from accounting.lookup.sums.summaries import Summaries
from accounting.model.records import Held
from accounting.records import builder
from accounting.records.builder import Site
from accounting.records.identity import Privacy, VoRules
from accounting.store import erasure
from accounting.store.engine.access import Right, Role, Viewer
from accounting.store.engine.database import Database
from accounting.store.ledger import Ledger
from accounting.store.records import Selection
from tests.delivery.books import NOVEMBER, account, opened, write

READ = frozenset({Right.READ})
ADMIN = Viewer("admin", frozenset(Right), is_admin=True)
MANAGER = Viewer("mia", READ, vos=frozenset({"physics"}), user="mia")
ADA = Viewer("ada", READ, user="ada")
NOBODY = Viewer("nobody", READ)
JOB = Viewer("job", frozenset({Right.OPERATE}))

OWNERS = [
    ("ada", "physics"),
    ("ada", "biology"),
    ("bob", "physics"),
    ("bob", "biology"),
    ("mia", "biology"),
    ("eve", "hidden"),
    ("ada", "hidden"),
    ("ada", "masked"),
    ("bob", "masked"),
    ("bob", "http://"),
]
RULES = VoRules(
    privacy={"hidden": Privacy.WITHHOLD, "masked": Privacy.PSEUDONYM}, pseudonym_key=b"k" * 32
)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with opened(tmp_path) as found:
        pages = [account(n, user=user, group=vo) for n, (user, vo) in enumerate(OWNERS)]
        write(found, pages)
        again = [record for page in pages for record in builder.records(page, Site("EX"), RULES)]
        ledger = Ledger(found)
        before = ledger.progress()
        assert before is not None
        from accounting.model.time import Window  # noqa: PLC0415 - only here
        from accounting.store.ledger import Step  # noqa: PLC0415 - only here

        ledger.commit(
            Step(
                window=Window(before.watermark, before.watermark + 300),
                before=before,
                after=replace(before, watermark=before.watermark + 300),
                accounts=pages,
                records=again,
                gaps=[],
                spoke=True,
                rejected=0,
            )
        )
        yield found


def seen(database: Database, viewer: Viewer, selection: Selection | None = None) -> set[int]:
    """The numbers of the pods whose records a viewer gets, by every way there is."""
    question = Question(replace(selection or Selection(), limit=100))
    page = records.page(database, viewer, question)
    listed = {int(entry.record.uid[-12:]) for entry in page.entries}
    streamed = {int(r.uid[-12:]) for r in streams.stream(database, viewer, question)}
    chosen = selection or Selection()
    for by in ((), (By.VO,), (By.DAY, By.USER)):
        asked = Sum(by, NOVEMBER, NOVEMBER, chosen.user, chosen.vo)
        summed = Summaries(database).summary(viewer, asked)
        assert sum(row.pods for row in summed) == len(listed)
    assert streamed == listed
    return listed


def pods(*wanted: tuple[str, str]) -> set[int]:
    return {number for number, owner in enumerate(OWNERS) if owner in wanted}


def test_an_administrator_sees_everything_held_records_too(database: Database) -> None:
    assert seen(database, ADMIN) == set(range(len(OWNERS)))
    held = records.page(database, ADMIN, Question(Selection(held=True)))
    assert [entry.record.held for entry in held.entries] == [Held.UNMAPPED]


def test_a_manager_sees_their_vo_and_their_own(database: Database) -> None:
    assert seen(database, MANAGER) == pods(
        ("ada", "physics"), ("bob", "physics"), ("mia", "biology")
    )
    assert seen(database, MANAGER, Selection(vo="physics")) == pods(
        ("ada", "physics"), ("bob", "physics")
    )
    assert seen(database, MANAGER, Selection(user="mia")) == pods(("mia", "biology"))


def test_people_see_their_own_whatever_the_record_shows_of_their_name(database: Database) -> None:
    own = pods(("ada", "physics"), ("ada", "biology"), ("ada", "hidden"), ("ada", "masked"))
    assert seen(database, ADA) == own
    assert seen(database, ADA, Selection(user="ada")) == own
    assert seen(database, ADA, Selection(vo="masked")) == pods(("ada", "masked"))


def test_who_is_neither_sees_nothing(database: Database) -> None:
    assert seen(database, NOBODY) == set()
    with pytest.raises(Forbidden):
        records.page(database, JOB, Question())


@pytest.mark.parametrize("selection", [Selection(user="bob"), Selection(user="not-there")])
def test_asking_for_somebody_else_is_refused_whether_they_exist_or_not(
    database: Database, selection: Selection
) -> None:
    with pytest.raises(Forbidden) as refused:
        records.page(database, ADA, Question(selection))
    with pytest.raises(Forbidden):
        streams.stream(database, ADA, Question(selection))
    asked = Sum((By.USER,), NOVEMBER, NOVEMBER, user=selection.user)
    with pytest.raises(Forbidden):
        Summaries(database).summary(ADA, asked)
    assert selection.user not in str(refused.value)


def test_a_manager_may_not_ask_for_another_vo(database: Database) -> None:
    for vo in ("biology", "not-there"):
        with pytest.raises(Forbidden):
            records.page(database, MANAGER, Question(Selection(vo=vo)))


def test_a_notebook_of_somebody_else_and_one_that_is_not_there_look_the_same(
    database: Database,
) -> None:
    said = []
    for number in (2, 999):
        with pytest.raises(AccountingError) as refused:
            notebooks.notebook(database, ADA, account(number).pod.uid)
        said.append((type(refused.value), str(refused.value)))
    assert said[0] == said[1]
    assert notebooks.notebook(database, ADMIN, account(999).pod.uid) is None
    mine = notebooks.notebook(database, ADA, account(0).pod.uid)
    assert mine is not None
    assert len(mine.months) == 1


def test_who_was_forgotten_is_nobody_s_not_even_a_user_s_of_that_name(database: Database) -> None:
    erasure.erase_user(database, "bob")
    assert seen(database, Viewer("erased", READ, user="erased")) == set()
    assert seen(database, Viewer("bob", READ, user="bob")) == set()
    assert seen(database, ADMIN) == set(range(len(OWNERS)))


def test_the_widest_role_counts() -> None:
    roles = [viewer.role for viewer in (ADMIN, MANAGER, ADA, NOBODY)]
    assert roles == [Role.ADMIN, Role.MANAGER, Role.SELF, Role.NONE]


def test_text_that_a_spreadsheet_would_run_is_led_by_an_apostrophe(database: Database) -> None:
    from accounting.records.formats.export import WRITERS, Format  # noqa: PLC0415 - only here

    entry = records.page(database, ADMIN, Question()).entries[0]
    bad = replace(entry.record, user="=cmd|' /C calc'!A0")
    lines = b"".join(WRITERS[Format.CSV]([bad])).decode()
    (row,) = csv.DictReader(io.StringIO(lines))
    assert row["user"] == "'=cmd|' /C calc'!A0"
