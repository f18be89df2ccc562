"""Erases users and keeps their totals (I3)."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    bindparam,
    func,
    or_,
    select,
    true,
    update,
)

from accounting.errors import AccountingError
from accounting.model.messages import UNDELIVERED, OutletKind
from accounting.model.pods import ERASED
from accounting.model.time import Month
from accounting.model.volumes import DAY_SECONDS
from accounting.records.formats import apel
from accounting.store import totals
from accounting.store.due import NOTHING_CLOSED, is_due
from accounting.store.engine.database import Database
from accounting.store.ledger import note_change
from accounting.store.rows import record_of
from accounting.store.tables import (
    delivered,
    message_records,
    messages,
    outlets,
    pods,
    progress,
    queued,
    records,
    volumes,
)
from accounting.store.volumes import erase_owners

_AT_ONCE = 500


def erase_user(database: Database, user: str) -> int:
    """Replace a user's name in pods, records and delivered messages; totals stay.

    Nothing is sent again for it. The name of a pod that still runs is kept until it has ended.

    Returns:
        How many pods were the user's.

    Raises:
        AccountingError: messages with the user's records still wait; their bytes must not change.
    """
    return _erase(database, pods.c.user == user, volumes.c.owner == user)


def expire_users(database: Database, before: float, open_from: Month = NOTHING_CLOSED) -> int:
    """Erase users of pods that ended before ``before`` and are fully delivered: retention.

    Args:
        database: the ledger's.
        before: Unix time.
        open_from: the first month that is not closed: corrections of earlier ones do not count as
            to be delivered.
    """
    waiting = (
        select(message_records.c.uid)
        .join(messages, messages.c.id == message_records.c.message_id)
        .where(messages.c.state.in_(UNDELIVERED))
    )
    return _erase(
        database,
        pods.c.ended
        & (pods.c.last_running_at < before)
        & (pods.c.user != ERASED)
        & pods.c.uid.not_in(waiting)
        & pods.c.uid.not_in(select(records.c.uid).where(is_due(open_from))),
        (volumes.c.day < before // DAY_SECONDS - 1) & volumes.c.uid.not_in(waiting),
    )


def _erase(database: Database, whose: ColumnElement[bool], volumes_of: ColumnElement[bool]) -> int:
    with database.begin() as connection:
        erase_owners(connection, volumes_of)
        connection.execute(update(progress).values(revision=progress.c.revision + 1))
        uids = list(connection.scalars(select(pods.c.uid).where(whose)))
        for start in range(0, len(uids), _AT_ONCE):
            chunk = uids[start : start + _AT_ONCE]
            _refuse_waiting(connection, chunk)
            _erase_messages(connection, chunk)
            _erase_sums(connection, chunk)
            _erase_delivered(connection, chunk)
            _erase_records(connection, chunk)
            connection.execute(update(pods).where(pods.c.uid.in_(chunk)).values(user=ERASED))
            connection.execute(
                update(pods).where(pods.c.uid.in_(chunk), pods.c.ended).values(name=ERASED)
            )
    return len(uids)


def _refuse_waiting(connection: Connection, uids: Sequence[str]) -> None:
    waiting = connection.execute(
        select(func.count(messages.c.id.distinct()))
        .join(message_records, messages.c.id == message_records.c.message_id)
        .where(message_records.c.uid.in_(uids), messages.c.state.in_(UNDELIVERED))
    ).scalar_one()
    if waiting:
        raise AccountingError(
            f"{waiting} messages with this user's records are not delivered yet",
            "run 'notebooks-accounting push' first",
        )


def _erase_messages(connection: Connection, uids: Sequence[str]) -> None:
    """Empty the delivered bodies that name the user; they are kept for reading only."""
    took = select(message_records.c.message_id).where(message_records.c.uid.in_(uids))
    connection.execute(update(messages).where(messages.c.id.in_(took)).values(body=""))


def _erase_sums(connection: Connection, uids: Sequence[str]) -> None:
    """Empty computed figures that name the user; what was told of them stays as it is."""
    sums = select(outlets.c.destination).where(outlets.c.kind != OutletKind.RECORDS.value)
    if connection.execute(sums.limit(1)).first() is None:
        return
    users = select(records.c.user).where(records.c.uid.in_(uids)).distinct()
    for user in connection.scalars(users).all():
        mine = messages.c.destination.in_(sums) & _names(messages.c.body, user)
        waiting = select(messages.c.id).where(mine, messages.c.state.in_(UNDELIVERED))
        if connection.execute(waiting.limit(1)).first() is not None:
            raise AccountingError(
                "a message with this user's sums is not delivered yet",
                "run 'notebooks-accounting push' first",
            )
        connection.execute(update(messages).where(mine).values(body=""))
        connection.execute(
            update(delivered)
            .where(delivered.c.destination.in_(sums), _names(delivered.c.text, user))
            .values(text="")
        )


def _names(text: ColumnElement[str], user: str) -> ColumnElement[bool]:
    """The condition of a text that names the user: as APEL's lines do, or as JSON does."""
    name = json.dumps(user)
    said = (f"\nGlobalUserName: {user}\n", f'"GlobalUserName": {name}', f'"user_id": {name}')
    return or_(*(text.contains(part, autoescape=True) for part in said))


def _erase_delivered(connection: Connection, uids: Sequence[str]) -> None:
    """Rename the user in the receiver's copy, so that later comparisons still work."""
    columns = delivered.c
    query = select(columns.uid, columns.year, columns.month, columns.destination, columns.text)
    same = (getattr(columns, name) == records.c[name] for name in ("uid", "year", "month"))
    changes = []
    for uid, year, month, destination, text in connection.execute(
        query.join(records, and_(*same)).where(records.c.uid.in_(uids), columns.text != "")
    ):
        erased = apel.renamed(text, ERASED)
        changes.append(
            {
                "b_uid": uid,
                "b_year": year,
                "b_month": month,
                "b_destination": destination,
                "b_text": erased,
                "b_digest": apel.text_digest(erased),
            }
        )
    if changes:
        connection.execute(
            update(delivered)
            .where(
                columns.uid == bindparam("b_uid"),
                columns.year == bindparam("b_year"),
                columns.month == bindparam("b_month"),
                columns.destination == bindparam("b_destination"),
            )
            .values(text=bindparam("b_text"), digest=bindparam("b_digest")),
            changes,
        )


def _erase_records(connection: Connection, uids: Sequence[str]) -> None:
    """Rename the user in records; a record that was queued stays queued under its new digest."""
    rows = connection.execute(select(records).where(records.c.uid.in_(uids))).all()
    changes: list[dict[str, Any]] = []
    for row in rows:
        digest = apel.digest(replace(record_of(row), user=ERASED, machine=""))
        changes.append(
            {
                "b_uid": row.uid,
                "b_year": row.year,
                "b_month": row.month,
                "b_digest": digest,
                "b_before": row.digest,
            }
        )
    if changes:
        note_change(connection, {Month(row.year, row.month) for row in rows})
        with totals.following(connection, [(Month(row.year, row.month), row.uid) for row in rows]):
            _rename(connection, changes)


def _rename(connection: Connection, changes: Sequence[dict[str, Any]]) -> None:
    for table, also, values in (
        (queued, queued.c.digest == bindparam("b_before"), {}),
        (records, true(), {"user": ERASED, "machine": ""}),
    ):
        key = (table.c[name] == bindparam(f"b_{name}") for name in ("uid", "year", "month"))
        connection.execute(
            update(table).where(*key, also).values(digest=bindparam("b_digest"), **values),
            changes,
        )
