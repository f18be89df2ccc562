"""What was delivered, queued and due belongs to a destination, not to the record.

Revision: 0006, after 0005
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_WAITS = sa.text("queued_digest IS NULL OR queued_digest <> digest")
_DELIVERED = (
    "year, month, uid, destination, message_id, digest, text, delivered_at"  # in their new order
)
_LAST = "(SELECT destination FROM messages WHERE id = (SELECT max(id) FROM messages))"


def upgrade() -> None:
    op.create_table(
        "outlets",
        sa.Column("destination", sa.Text(), nullable=False),
        sa.Column(
            "kind",
            sa.String(32),
            nullable=False,
            comment="what it takes: see model/messages.py",
        ),
        sa.Column("position", sa.Integer(), nullable=False, comment="its place in the settings"),
        sa.PrimaryKeyConstraint("destination", name="pk_outlets"),
    )
    op.create_table(
        "queued",
        sa.Column("year", sa.Integer(), nullable=False),
        sa.Column("month", sa.Integer(), nullable=False),
        sa.Column("uid", sa.String(64), nullable=False),
        sa.Column("destination", sa.Text(), nullable=False),
        sa.Column(
            "digest",
            sa.String(64),
            comment="when last put into a message; nothing: send it again",
        ),
        sa.Column(
            "final",
            sa.Boolean(),
            nullable=False,
            server_default=sa.false(),
            comment="it was the month's last word",
        ),
        sa.Column("message_id", _number(), comment="the message that took it last"),
        sa.PrimaryKeyConstraint("year", "month", "uid", "destination", name="pk_queued"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "settled",
        sa.Column("destination", sa.Text(), nullable=False),
        sa.Column("year", sa.Integer(), nullable=False),
        sa.Column("month", sa.Integer(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("destination", "year", "month", name="pk_settled"),
    )
    _take_over()
    op.create_index("ix_queued_message_id", "queued", ["message_id"])
    op.drop_index("ix_records_waiting", "records")
    for name in ("queued_digest", "message_id", "queued_final"):
        op.drop_column("records", name)
    _rekey_delivered()


def _take_over() -> None:
    """Let each destination know what it was told; the last one in use, what any was told.

    Until now a record that had gone to one destination was not due at another. So the destination
    in use does not get what went elsewhere before.
    """
    op.execute(
        "INSERT INTO outlets SELECT destination, 'records', 0 FROM messages"
        " WHERE id = (SELECT max(id) FROM messages)"
    )
    noted = "records.message_id IS NOT NULL"
    into = "INSERT INTO queued (year, month, uid, destination, digest, final, message_id)"
    says = "queued_digest, queued_final, message_id"
    op.execute(
        f"{into} SELECT year, month, uid, {_LAST}, {says} FROM records WHERE {noted}"  # noqa: S608 - constants of this file
        f" AND {_LAST} IS NOT NULL ORDER BY year, month, uid"
    )
    op.execute(
        f"{into} SELECT records.year, records.month, records.uid, messages.destination, {says}"  # noqa: S608 - constants of this file
        f" FROM records JOIN messages ON messages.id = records.message_id"
        f" WHERE messages.destination <> {_LAST}"
    )
    op.execute(
        "INSERT INTO revisions (year, month, revision) SELECT DISTINCT year, month, 1 FROM records"
        " WHERE NOT EXISTS (SELECT 1 FROM revisions WHERE revisions.year = records.year"
        " AND revisions.month = records.month)"
    )


def _rekey_delivered() -> None:
    _set_delivered_aside()
    op.create_table(
        "delivered",
        sa.Column("year", sa.Integer(), nullable=False),
        sa.Column("month", sa.Integer(), nullable=False),
        sa.Column("uid", sa.String(64), nullable=False),
        sa.Column("destination", sa.Text(), nullable=False),
        *_delivered_values(),
        sa.PrimaryKeyConstraint("year", "month", "uid", "destination", name="pk_delivered"),
        sqlite_with_rowid=False,
    )
    op.execute(
        f"INSERT INTO delivered ({_DELIVERED}) SELECT {_DELIVERED} FROM delivered_before"  # noqa: S608 - constants of this file
        " ORDER BY year, month, uid"
    )
    op.drop_table("delivered_before")


def _set_delivered_aside() -> None:
    op.rename_table("delivered", "delivered_before")
    if not _is_sqlite():
        op.execute("ALTER INDEX pk_delivered RENAME TO pk_delivered_before")


def _delivered_values() -> list[sa.Column[object]]:
    return [
        sa.Column("message_id", _number(), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False, comment="SHA-256 of the text"),
        sa.Column(
            "text", sa.Text(), nullable=False, comment="the record as it went out; empty: forgotten"
        ),
        sa.Column("delivered_at", sa.Float(), nullable=False),
    ]


def downgrade() -> None:
    op.add_column(
        "records",
        sa.Column("queued_digest", sa.String(64), comment="digest when last put into a message"),
    )
    op.add_column("records", sa.Column("message_id", _number()))
    op.add_column(
        "records",
        sa.Column("queued_final", sa.Boolean(), nullable=False, server_default=sa.false()),
    )
    mine = (
        "FROM queued WHERE queued.year = records.year AND queued.month = records.month"
        " AND queued.uid = records.uid ORDER BY message_id DESC LIMIT 1"
    )
    op.execute(
        f"UPDATE records SET queued_digest = (SELECT digest {mine}),"  # noqa: S608 - our own names
        f" message_id = (SELECT message_id {mine}),"
        f" queued_final = coalesce((SELECT final {mine}), {sa.false().compile(op.get_bind())})"
    )
    op.create_index(
        "ix_records_waiting",
        "records",
        ["year", "month", "uid"],
        sqlite_where=_WAITS,
        postgresql_where=_WAITS,
    )
    _set_delivered_aside()
    op.create_table(
        "delivered",
        sa.Column("uid", sa.String(64), nullable=False),
        sa.Column("year", sa.Integer(), nullable=False),
        sa.Column("month", sa.Integer(), nullable=False),
        sa.Column("destination", sa.Text(), nullable=False),
        *_delivered_values(),
        sa.PrimaryKeyConstraint("uid", "year", "month", name="pk_delivered"),
        sqlite_with_rowid=False,
    )
    op.execute(
        f"INSERT INTO delivered ({_DELIVERED}) SELECT {_DELIVERED} FROM delivered_before"  # noqa: S608 - constants of this file
        " AS mine WHERE message_id = (SELECT max(other.message_id) FROM delivered_before AS other"
        " WHERE other.year = mine.year AND other.month = mine.month AND other.uid = mine.uid)"
    )
    op.drop_table("delivered_before")
    op.create_index("ix_delivered_year_month", "delivered", ["year", "month"])
    for name in ("settled", "queued", "outlets"):
        op.drop_table(name)


def _number() -> sa.types.TypeEngine[int]:
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _is_sqlite() -> bool:
    return op.get_context().dialect.name == "sqlite"
