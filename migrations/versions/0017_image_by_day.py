"""totals of days tell images apart; all records are apart until ``db upgrade`` has added them up.

Revision: 0017, after 0016
"""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

_NAMES = ("vo", "user", "flavor", "image")


def upgrade() -> None:
    _change(_NAMES)


def downgrade() -> None:
    _change(_NAMES[:-1])


def _change(names: tuple[str, ...]) -> None:
    """The totals are made anew, so neither table keeps its rows."""
    op.drop_table("day_totals")
    op.create_table(
        "day_totals",
        sa.Column("day", sa.Integer(), nullable=False, comment="since 1970"),
        *(sa.Column(name, sa.Text(), nullable=False) for name in names),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in ("pods", "wall", "cpu")),
        *(
            sa.Column(name, sa.Float(), nullable=False)
            for name in ("core_seconds", "memory_mb_seconds", "gpu_seconds")
        ),
        sa.Column("pods_without_cpu", sa.BigInteger(), nullable=False),
        sa.Column("joules", sa.Float(), nullable=False),
        sa.Column("joules_estimated", sa.Float(), nullable=False),
        sa.Column("without_energy", sa.BigInteger(), nullable=False, comment="pods"),
        sa.Column(
            "begun", sa.BigInteger(), nullable=False, comment="pods of which it is the first day"
        ),
        sa.PrimaryKeyConstraint("day", *names, name="pk_day_totals"),
        sqlite_with_rowid=False,
    )
    op.execute(sa.text("DELETE FROM month_totals"))
    op.execute(sa.text("UPDATE records SET apart = true WHERE NOT apart"))
