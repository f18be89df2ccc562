"""A ledger that moves into another database takes everything along, or nothing."""

import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, select, text

from accounting.delivery.outbox import Outbox
from accounting.delivery.pusher import Policy, Pusher
from accounting.errors import Busy, DatabaseError
from accounting.store.engine import copy
from accounting.store.engine.database import Database
from accounting.store.ledger import Ledger
from accounting.store.records import Records
from accounting.store.tables import (
    figures,
    holds,
    joined,
    messages,
    metadata,
    pods,
    reconciliations,
    remote_ids,
    stops,
)
from accounting.store.volumes import write_volumes
from tests import commands
from tests.delivery.books import NOVEMBER, Inbox, account, ran_on, table_of, table_of_ours, write
from tests.delivery.volumes import home, seen
from tests.web import month

NewUrl = Callable[[], str]


@pytest.fixture(scope="module")
def inbox() -> Inbox:
    """Where the full one delivers to."""
    return Inbox()


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory, inbox: Inbox) -> Iterator[Database]:
    """Eight weeks in SQLite, delivered but for what has changed since, and a destination's stop."""
    with Database(f"sqlite:///{tmp_path_factory.mktemp('full') / 'accounting.db'}") as database:
        database.upgrade()
        month.fill(database)
        push(database, inbox)
        write(database, [account(1, user="ünïcode\n'; DROP TABLE pods; --@example.org")])
        with database.begin() as connection:
            stop = {"destination": "ams://elsewhere.example.org", "stopped_at": month.NOW}
            why = {"kind": "refused", "reason": "not known there", "cure": "ask"}
            connection.execute(stops.insert(), stop | why)
            held = {"uid": "u", "year": 2025, "month": 11, "held": "invalid", "problem": "too long"}
            connection.execute(holds.insert(), held | {"reported_at": month.NOW})
            changed = {"uid": "u", "year": 2025, "month": 11, "revision": 1}
            connection.execute(joined.insert(), changed)
            compared = {"destination": "ams://elsewhere.example.org", "year": 2025, "month": 11}
            made = {"made_at": month.NOW, "source": "portal.json", "unit": "hours"}
            rest = {"is_partial": False, "lines": "[]"}
            connection.execute(reconciliations.insert(), compared | made | rest)
            write_volumes(connection, database, [home(seen(1))])
            remote = {"uid": "u", "remote_id": "r", "empaid": "e"}
            connection.execute(remote_ids.insert(), {"destination": "https://example.org"} | remote)
            moving = (pods.c[column.name] for column in figures.columns)
            running = select(*moving).where(~pods.c.ended)
            connection.execute(figures.insert().from_select(figures.columns.keys(), running))
        yield database


@pytest.fixture
def empty(postgres: NewUrl) -> Iterator[Database]:
    with Database(postgres()) as database:
        yield database


def push(database: Database, inbox: Inbox) -> None:
    pusher = Pusher(Outbox(database), inbox, Policy(), now=lambda: month.NOW, chance=lambda: 0.5)
    assert pusher.push().error is None


def content(database: Database) -> dict[str, list[tuple[object, ...]]]:
    """Every row of every table."""
    with database.begin(reading=True) as connection:
        return {
            table.name: sorted(map(tuple, connection.execute(select(table))), key=repr)
            for table in metadata.sorted_tables
        }


def test_every_row_of_every_table_arrives_in_postgresql(full: Database, empty: Database) -> None:
    before = content(full)
    told: list[tuple[str, int, int]] = []
    copied = copy.copy(full, empty, lambda *now: told.append(now))
    assert content(empty) == content(full) == before
    assert copied == {name: len(rows) for name, rows in before.items()}
    assert all(copied.values()), "each table had something in it"
    assert [done for _, done, _ in told] == sorted({done for _, done, _ in told})
    assert told[-1][1] == told[-1][2] == sum(copied.values())
    assert empty.is_current()


def test_measuring_and_delivering_go_on_where_they_were(
    full: Database, empty: Database, inbox: Inbox
) -> None:
    copy.copy(full, empty)
    assert Ledger(empty).progress() == Ledger(full).progress()
    before = len(inbox.bodies)
    with empty.begin(reading=True) as connection:
        last = connection.execute(select(func.max(messages.c.id))).scalar_one()
    write(empty, [ran_on(account(1), 600)])
    push(empty, inbox)
    (body,) = inbox.bodies[before:]
    assert body.count("VMUUID") == 1, "what was delivered is not sent again"
    assert table_of(inbox.bodies) == table_of_ours(empty)
    with empty.begin(reading=True) as connection:
        assert connection.execute(select(func.max(messages.c.id))).scalar_one() == last + 1


def test_an_empty_ledger_moves_too_and_begins_to_count_at_one(
    tmp_path: Path, empty: Database
) -> None:
    with Database(f"sqlite:///{tmp_path / 'new.db'}") as new:
        new.upgrade()
        assert not any(copy.copy(new, empty).values())
    write(empty, [account(1)])
    push(empty, Inbox())
    assert content(empty)["messages"][0][0] == 1


def test_it_moves_back_into_a_file_the_same_way(
    full: Database, empty: Database, tmp_path: Path
) -> None:
    copy.copy(full, empty)
    with Database(f"sqlite:///{tmp_path / 'back.db'}") as back:
        copy.copy(empty, back)
        assert content(back) == content(full)


def test_a_database_that_holds_something_is_refused_and_left_alone(
    full: Database, empty: Database
) -> None:
    empty.upgrade()
    write(empty, [account(7)])
    before = content(empty)
    with pytest.raises(
        DatabaseError, match="is not empty: it has rows of pods, progress, records, "
    ) as caught:
        copy.copy(full, empty)
    assert "give an empty database" in caught.value.cure
    assert content(empty) == before
    assert [r.month for r in Records(empty).find()] == [NOVEMBER]


def test_a_database_is_not_copied_into_itself(full: Database) -> None:
    with pytest.raises(DatabaseError, match="into itself"):
        copy.copy(full, full)


def test_a_database_that_drops_rows_keeps_none(full: Database, empty: Database) -> None:
    empty.upgrade()
    with empty.begin() as connection:
        connection.execute(
            text(
                "CREATE FUNCTION swallow() RETURNS trigger AS"
                " $$ BEGIN RETURN CASE WHEN NEW.uid LIKE '%1' THEN NULL ELSE NEW END; END $$"
                " LANGUAGE plpgsql"
            )
        )
        connection.execute(
            text(
                "CREATE TRIGGER swallow BEFORE INSERT ON records"
                " FOR EACH ROW EXECUTE FUNCTION swallow()"
            )
        )
    with pytest.raises(DatabaseError, match=r"took [\d,]+ of [\d,]+ rows of records") as caught:
        copy.copy(full, empty)
    assert "nothing was kept" in caught.value.cure
    assert not any(content(empty).values())


@pytest.mark.parametrize("job", ["poll", "push"])
def test_it_waits_for_nobody_who_is_at_work(full: Database, empty: Database, job: str) -> None:
    with full.exclusive(job), pytest.raises(Busy, match=f"at '{job}'"):
        copy.copy(full, empty)
    assert not any(content(empty).values())


def run(database: Database, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "ACCOUNTING_DATABASE_URL": database.name}
    return commands.run("db", "copy", *arguments, env=environment, timeout=120)


def test_the_command_copies_once_and_says_what_is_left_to_do(
    full: Database, empty: Database
) -> None:
    done = run(full, empty.name)
    assert done.returncode == 0, done.stderr
    shown = dict(re.findall(r"^ ([a-z ]+?) +([\d,]+) *$", done.stdout, re.MULTILINE))
    assert shown == {
        name.replace("_", " "): f"{len(rows):,}" for name, rows in content(empty).items()
    }
    assert f"{empty.name} has it all: set ACCOUNTING_DATABASE_URL" in done.stderr
    again = run(full, empty.name, "--json")
    assert (again.returncode, again.stdout) == (1, "")
    assert "is not empty" in again.stderr


def test_the_command_takes_no_password_where_others_can_see_it(full: Database) -> None:
    done = run(full, "postgresql://me:s3cr3t@127.0.0.1:1/accounting")
    assert done.returncode == 2
    assert "set PGPASSWORD" in done.stderr
    assert "s3cr3t" not in done.stdout + done.stderr
