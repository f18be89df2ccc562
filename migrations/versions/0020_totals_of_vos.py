"""totals of VOs: what those of months and days come to; they are added up from these.

Revision: 0020, after 0019
"""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

_FIGURES = (
    "pods",
    "wall",
    "cpu",
    "core_seconds",
    "memory_mb_seconds",
    "gpu_seconds",
    "pods_without_cpu",
    "joules",
    "joules_estimated",
    "without_energy",
)


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
        sa.Column("users", sa.BigInteger(), nullable=False),
    ]


def upgrade() -> None:
    op.create_table(
        "month_vo_totals",
        sa.Column("year", sa.Integer(), nullable=False),
        sa.Column("month", sa.Integer(), nullable=False),
        sa.Column("vo", sa.Text(), nullable=False),
        *_figures(),
        sa.PrimaryKeyConstraint("year", "month", "vo", name="pk_month_vo_totals"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "day_vo_totals",
        sa.Column("day", sa.Integer(), nullable=False, comment="since 1970"),
        sa.Column("vo", sa.Text(), nullable=False),
        *_figures(),
        sa.PrimaryKeyConstraint("day", "vo", name="pk_day_vo_totals"),
        sqlite_with_rowid=False,
    )
    sums = ", ".join(f"sum({name})" for name in _FIGURES)
    for table, keys in (("month", "year, month, vo"), ("day", "day, vo")):
        op.execute(
            f"INSERT INTO {table}_vo_totals ({keys}, {', '.join(_FIGURES)}, users) "  # noqa: S608 - our own names
            f'SELECT {keys}, {sums}, count(DISTINCT "user") FROM {table}_totals GROUP BY {keys}'
        )


def downgrade() -> None:
    op.drop_table("day_vo_totals")
    op.drop_table("month_vo_totals")
