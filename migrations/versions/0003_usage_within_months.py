"""usage within months, and the indexes of lists and summaries.

Revision: 0003, after 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_WAITS = sa.text("queued_digest IS NULL OR queued_digest <> digest")
_STAYS = sa.text("held <> ''")
_NAMED = sa.text('length("user") <= 255')
_SUMMED = [
    "year",
    "month",
    "vo",
    "start_at",
    "uid",
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

# Records are cumulative: what the pod's record of the month before says is taken off.
_BEFORE = """SELECT b.{name} FROM records b WHERE b.uid = records.uid
    AND b.year * 12 + b.month = records.year * 12 + records.month - 1
    AND b.year BETWEEN records.year - 1 AND records.year"""
_USED = f"""UPDATE records SET
    used_wall_seconds = wall_seconds - COALESCE(({_BEFORE.format(name="wall_seconds")}), 0),
    used_cpu_seconds = cpu_seconds - COALESCE(({_BEFORE.format(name="cpu_seconds")}), 0)"""  # noqa: S608 - our own names


def _is_sqlite() -> bool:
    return op.get_context().dialect.name == "sqlite"


def upgrade() -> None:
    op.create_table(
        "revisions",
        sa.Column("year", sa.Integer(), nullable=False),
        sa.Column("month", sa.Integer(), nullable=False),
        sa.Column(
            "revision",
            sa.BigInteger(),
            nullable=False,
            comment="grows when a record of it is written",
        ),
        sa.PrimaryKeyConstraint("year", "month", name=op.f("pk_revisions")),
    )
    # Not in a batch: that would copy the table, and these need no copy.
    op.add_column(
        "records",
        sa.Column(
            "used_wall_seconds",
            sa.BigInteger(),
            nullable=False,
            server_default="0",
            comment="within the month",
        ),
    )
    op.add_column(
        "records",
        sa.Column("used_cpu_seconds", sa.BigInteger(), nullable=True, comment="within the month"),
    )
    op.execute(_USED)
    op.execute("INSERT INTO revisions SELECT DISTINCT year, month, 1 FROM records")
    op.create_index("ix_pods_user", "pods", ["user"], postgresql_using="hash")
    op.create_index(
        "ix_records_year_month_start_at_uid", "records", ["year", "month", "start_at", "uid"]
    )
    op.drop_index("ix_records_year_month_vo", "records")
    op.create_index(
        "ix_records_user",
        "records",
        ["user", "year", "month", "start_at", "uid"],
        sqlite_where=_NAMED,
        postgresql_where=_NAMED,
    )
    if _is_sqlite():
        op.create_index("ix_records_usage", "records", _SUMMED)
    else:
        op.create_index("ix_records_year_month_vo", "records", _SUMMED[:5])
    op.create_index(
        "ix_records_waiting", "records", ["uid"], sqlite_where=_WAITS, postgresql_where=_WAITS
    )
    op.create_index(
        "ix_records_held", "records", ["held"], sqlite_where=_STAYS, postgresql_where=_STAYS
    )


def downgrade() -> None:
    usage = "usage" if _is_sqlite() else "year_month_vo"
    for name in ("held", "waiting", "year_month_start_at_uid", "user", usage):
        op.drop_index(f"ix_records_{name}", "records")
    op.drop_index("ix_pods_user", "pods")
    op.create_index("ix_records_year_month_vo", "records", ["year", "month", "vo"])
    op.drop_column("records", "used_cpu_seconds")
    op.drop_column("records", "used_wall_seconds")
    op.drop_table("revisions")
