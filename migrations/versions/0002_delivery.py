"""delivery: states, tries and parts of messages, stopped destinations, what was delivered.

Revision: 0002, after 0001
"""

from collections.abc import Iterator
from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    _add_columns()
    _create_tables()
    op.execute("UPDATE messages SET origin = id")
    # An error of before has no kind: it counts as one that passes, and is tried again at once.
    op.execute("UPDATE messages SET error_kind = 'unavailable' WHERE error <> ''")
    _take_over_bodies(op.get_bind())
    _take_over_records(op.get_bind())


def _add_columns() -> None:
    for column in (
        sa.Column("next_try_at", sa.Float(), comment="not before; nothing: at once"),
        sa.Column(
            "error_kind",
            sa.String(32),
            nullable=False,
            server_default="",
            comment="see outbox.Kind",
        ),
        sa.Column(
            "cure", sa.Text(), nullable=False, server_default="", comment="what the operator does"
        ),
        sa.Column(
            "origin", _NUMBER, nullable=False, server_default="0", comment="the whole's number"
        ),
        sa.Column(
            "part",
            sa.String(32),
            nullable=False,
            server_default="",
            comment="of a split: a, b, aa …",
        ),
    ):
        op.add_column("messages", column)
    op.add_column(
        "records",
        sa.Column(
            "queued_final",
            sa.Boolean(),
            nullable=False,
            server_default=sa.false(),
            comment="what was queued was the month's last word on the pod",
        ),
    )
    op.drop_index("ix_messages_destination_state_id", "messages")
    op.create_index(
        "ix_messages_destination_state_origin_part",
        "messages",
        ["destination", "state", "origin", "part"],
    )
    op.create_index("ix_messages_origin", "messages", ["origin"])

    if op.get_context().dialect.name == "postgresql":  # SQLite has no comments
        op.alter_column("messages", "state", comment="see outbox.State")
        op.alter_column("messages", "tried_at", comment="when the last attempt began")
        op.alter_column(
            "messages", "error", comment="what went wrong last, without names or secrets"
        )


def _create_tables() -> None:
    op.create_table(
        "stops",
        sa.Column("destination", sa.Text(), nullable=False),
        sa.Column("stopped_at", sa.Float(), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False, comment="see outbox.Kind"),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("cure", sa.Text(), nullable=False),
        sa.Column("message_id", _NUMBER, comment="what was being sent"),
        sa.Column("probe_at", sa.Float(), comment="when it is tried again; nothing: at every push"),
        sa.PrimaryKeyConstraint("destination", name="pk_stops"),
    )
    op.create_table(
        "delivered",
        sa.Column("uid", sa.String(64), nullable=False),
        sa.Column("year", sa.Integer(), nullable=False),
        sa.Column("month", sa.Integer(), nullable=False),
        sa.Column("destination", sa.Text(), nullable=False),
        sa.Column("message_id", _NUMBER, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False, comment="SHA-256 of the text"),
        sa.Column(
            "text",
            sa.Text(),
            nullable=False,
            comment="the record as it went out; empty: forgotten",
        ),
        sa.Column("delivered_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("uid", "year", "month", name="pk_delivered"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_delivered_year_month", "delivered", ["year", "month"])


def _take_over_bodies(connection: sa.Connection) -> None:
    """What delivered messages said, the latest last; a body emptied since has no texts."""
    # Delivery was in the order of the numbers.
    for number in (
        connection.execute(sa.text("SELECT id FROM messages ORDER BY id")).scalars().all()
    ):
        message = connection.execute(
            sa.text("SELECT state, destination, sent_at, body FROM messages WHERE id = :id"),
            {"id": number},
        ).one()
        texts = dict(_texts(message.body))
        rows = [
            {
                "uid": uid,
                "year": year,
                "month": month,
                "destination": message.destination,
                "message_id": number,
                "digest": digest,
                "text": texts.get((uid, year, month), ""),
                "delivered_at": message.sent_at,
            }
            for uid, year, month, digest in connection.execute(
                sa.text(
                    "SELECT uid, year, month, digest FROM message_records WHERE message_id = :id"
                ),
                {"id": number},
            )
        ]
        final = [row for row in rows if row["text"] and _is_final(_fields(row["text"]), row)]
        if final:
            connection.execute(
                sa.text(
                    "UPDATE records SET queued_final = true WHERE uid = :uid AND year = :year "
                    "AND month = :month AND message_id = :message_id"
                ),
                final,
            )
        if rows and message.state == "sent":
            connection.execute(sa.text(_DELIVER), rows)


_DELIVER = """
INSERT INTO delivered (uid, year, month, destination, message_id, digest, text, delivered_at)
VALUES (:uid, :year, :month, :destination, :message_id, :digest, :text, :delivered_at)
ON CONFLICT (uid, year, month) DO UPDATE SET destination = excluded.destination,
message_id = excluded.message_id, digest = excluded.digest, text = excluded.text,
delivered_at = excluded.delivered_at
"""


def _take_over_records(connection: sa.Connection) -> None:
    """What the records themselves know of what was queued last, also where a body was emptied."""
    connection.execute(
        sa.text(
            "UPDATE delivered SET digest = (SELECT queued_digest FROM records r WHERE "
            "r.uid = delivered.uid AND r.year = delivered.year AND r.month = delivered.month) "
            "WHERE EXISTS (SELECT 1 FROM records r WHERE r.uid = delivered.uid AND "
            "r.year = delivered.year AND r.month = delivered.month AND "
            "r.message_id = delivered.message_id AND r.queued_digest IS NOT NULL)"
        )
    )
    months = connection.execute(
        sa.text("SELECT DISTINCT year, month FROM records WHERE queued_digest = digest")
    ).all()
    for year, month in months:
        connection.execute(
            sa.text(
                "UPDATE records SET queued_final = true WHERE year = :year AND month = :month AND "
                "queued_digest = digest AND (status = 'completed' OR created_at = :last)"
            ),
            {"year": year, "month": month, "last": _last_second(year, month)},
        )


def _texts(body: str) -> Iterator[tuple[tuple[str, int, int], str]]:
    """(uid, year, month) and text of each record of a body."""
    for text in body.partition("\n")[2].split("%%\n"):
        if text:
            fields = _fields(text)
            measured = "EndTime" if fields.get("Status") == "completed" else "RecordCreateTime"
            at = datetime.fromtimestamp(int(fields[measured]), UTC)
            yield (fields["VMUUID"], at.year, at.month), f"{text}%%\n"


def _fields(text: str) -> dict[str, str]:
    return dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)


def _is_final(fields: dict[str, str], key: dict[str, int]) -> bool:
    last = _last_second(key["year"], key["month"])
    return fields["Status"] == "completed" or int(fields["RecordCreateTime"]) == last


def _last_second(year: int, month: int) -> int:
    following = datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC)
    return int(following.timestamp()) - 1


def downgrade() -> None:
    op.execute("UPDATE messages SET state = 'pending' WHERE state IN ('sending', 'parked')")
    # What was split or withdrawn is history that the tables of before have no word for.
    gone = "SELECT id FROM messages WHERE state NOT IN ('pending', 'sent')"
    op.execute(f"DELETE FROM message_records WHERE message_id IN ({gone})")  # noqa: S608 - constant
    op.execute("DELETE FROM messages WHERE state NOT IN ('pending', 'sent')")
    op.drop_table("delivered")
    op.drop_table("stops")
    op.drop_index("ix_messages_origin", "messages")
    op.drop_index("ix_messages_destination_state_origin_part", "messages")
    op.create_index("ix_messages_destination_state_id", "messages", ["destination", "state", "id"])
    op.drop_column("records", "queued_final")
    for name in ("part", "origin", "cure", "error_kind", "next_try_at"):
        op.drop_column("messages", name)
