"""totals of months and days; all records are apart until ``db totals`` adds them up.

Revision: 0016, after 0015
"""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def _figures() -> list[sa.Column[int] | sa.Column[float]]:
    return [
        sa.Column("pods", sa.BigInteger(), nullable=False),
        sa.Column("wall", sa.BigInteger(), nullable=False),
        sa.Column("cpu", sa.BigInteger(), nullable=False),
        sa.Column("core_seconds", sa.Float(), nullable=False),
        sa.Column("memory_mb_seconds", sa.Float(), nullable=False),
        sa.Column("gpu_seconds", sa.Float(), nullable=False),
        sa.Column("pods_without_cpu", sa.BigInteger(), nullable=False),
        sa.Column("joules", sa.Float(), nullable=False),
        sa.Column("joules_estimated", sa.Float(), nullable=False),
        sa.Column("without_energy", sa.BigInteger(), nullable=False, comment="pods"),
    ]


def upgrade() -> None:
    apart: sa.Column[bool] = sa.Column(
        "apart",
        sa.Boolean(),
        nullable=False,
        server_default=sa.true(),
        comment="in no total: see totals.py",
    )
    op.add_column("records", apart)
    where = sa.text("apart")
    op.create_index(
        "ix_records_apart",
        "records",
        ["year", "month", "uid"],
        sqlite_where=where,
        postgresql_where=where,
    )
    op.create_table(
        "month_totals",
        sa.Column("year", sa.Integer(), nullable=False),
        sa.Column("month", sa.Integer(), nullable=False),
        sa.Column("vo", sa.Text(), nullable=False),
        sa.Column("user", sa.Text(), nullable=False),
        sa.Column("flavor", sa.Text(), nullable=False),
        sa.Column("image", sa.Text(), nullable=False),
        *_figures(),
        sa.PrimaryKeyConstraint(
            "year", "month", "vo", "user", "flavor", "image", name="pk_month_totals"
        ),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "day_totals",
        sa.Column("day", sa.Integer(), nullable=False, comment="since 1970"),
        sa.Column("vo", sa.Text(), nullable=False),
        sa.Column("user", sa.Text(), nullable=False),
        sa.Column("flavor", sa.Text(), nullable=False),
        *_figures(),
        sa.Column(
            "begun", sa.BigInteger(), nullable=False, comment="pods of which it is the first day"
        ),
        sa.PrimaryKeyConstraint("day", "vo", "user", "flavor", name="pk_day_totals"),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    op.drop_table("day_totals")
    op.drop_table("month_totals")
    op.drop_index("ix_records_apart", "records")
    op.drop_column("records", "apart")
