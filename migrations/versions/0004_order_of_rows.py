"""records by month, as they are summed up and listed; what moves with every poll close together.

Revision: 0004, after 0003
"""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_WAITS = sa.text("queued_digest IS NULL OR queued_digest <> digest")
_STAYS = sa.text("held <> ''")
_NAMED = sa.text('length("user") <= 255')
_BY_MONTH = ("year", "month", "uid")
_BY_POD = ("uid", "year", "month")
_MONTH_VO = ["year", "month", "vo", "start_at", "uid"]
_SUMMED = [
    *_MONTH_VO,
    "user",
    "flavor",
    "image",
    "created_at",
    "used_wall_seconds",
    "used_cpu_seconds",
    "cpu_count",
    "memory_mb",
    "gpu_count",
]


def upgrade() -> None:
    op.create_table(
        "figures",
        sa.Column("uid", sa.String(64), nullable=False),
        sa.Column("last_running_at", sa.Float(), nullable=False),
        sa.Column("last_listed_at", sa.Float(), nullable=False),
        sa.Column("counters", sa.Text(), nullable=False, comment="JSON: see ledger.py"),
        sa.Column("readings", sa.Text(), nullable=False, comment="JSON: see ledger.py"),
        sa.PrimaryKeyConstraint("uid", name="pk_figures"),
        sqlite_with_rowid=False,
    )
    op.drop_index("ix_records_waiting", "records")
    if _is_sqlite():
        _rebuild(_BY_MONTH)
        op.create_index("ix_records_year_month_vo", "records", _MONTH_VO)
    else:
        _replace_key(_BY_MONTH)
    op.create_index("ix_records_uid", "records", list(_BY_POD))
    _create_waiting(_BY_MONTH)


def downgrade() -> None:
    for name in ("last_running_at", "last_listed_at", "counters", "readings"):
        op.execute(
            f"UPDATE pods SET {name} = (SELECT {name} FROM figures WHERE figures.uid = pods.uid)"  # noqa: S608 - our own names
            " WHERE uid IN (SELECT uid FROM figures)"
        )
    op.drop_table("figures")
    op.drop_index("ix_records_uid", "records")
    op.drop_index("ix_records_waiting", "records")
    if _is_sqlite():
        _rebuild(_BY_POD)
        op.create_index("ix_records_usage", "records", _SUMMED)
    else:
        _replace_key(_BY_POD)
    _create_waiting(["uid"])


def _is_sqlite() -> bool:
    return op.get_context().dialect.name == "sqlite"


def _replace_key(key: Sequence[str]) -> None:
    op.drop_constraint("pk_records", "records", type_="primary")
    op.create_primary_key("pk_records", "records", list(key))


def _create_waiting(columns: Sequence[str]) -> None:
    op.create_index(
        "ix_records_waiting",
        "records",
        list(columns),
        sqlite_where=_WAITS,
        postgresql_where=_WAITS,
    )


def _like(column: sa.Column[Any]) -> sa.Column[Any]:
    default = column.server_default
    return sa.Column(
        column.name,
        column.type,
        nullable=column.nullable,
        server_default=default.arg if isinstance(default, sa.DefaultClause) else None,
    )


def _rebuild(key: Sequence[str]) -> None:
    """SQLite cannot change a key: the rows move into a new table, in the new order."""
    old = sa.Table("records", sa.MetaData(), autoload_with=op.get_bind())
    columns = [column.name for column in old.columns]
    op.create_table(
        "records_in_order",
        *map(_like, old.columns),
        sa.PrimaryKeyConstraint(*key, name="pk_records"),
        sqlite_with_rowid=False,
    )
    new = sa.table("records_in_order", *map(sa.column, columns))
    rows = sa.select(*old.columns).order_by(*(old.columns[name] for name in key))
    op.execute(new.insert().from_select(columns, rows))
    op.drop_table("records")
    op.rename_table("records_in_order", "records")
    op.create_index(
        "ix_records_year_month_start_at_uid", "records", ["year", "month", "start_at", "uid"]
    )
    op.create_index(
        "ix_records_user",
        "records",
        ["user", "year", "month", "start_at", "uid"],
        sqlite_where=_NAMED,
    )
    op.create_index("ix_records_held", "records", ["held"], sqlite_where=_STAYS)
