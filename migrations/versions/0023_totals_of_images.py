"""totals of images: what those of months come to by VO, flavour and image.

Revision: 0023, after 0022
"""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

_KEYS = "year, month, vo, flavor, image"
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
    "begun",
)


def upgrade() -> None:
    op.create_table(
        "month_image_totals",
        sa.Column("year", sa.Integer(), nullable=False),
        sa.Column("month", sa.Integer(), nullable=False),
        sa.Column("vo", sa.Text(), nullable=False),
        sa.Column("flavor", sa.Text(), nullable=False),
        sa.Column("image", sa.Text(), nullable=False),
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
        sa.Column(
            "begun",
            sa.BigInteger(),
            nullable=False,
            comment="pods without a part in the month before",
        ),
        sa.PrimaryKeyConstraint(
            "year", "month", "vo", "flavor", "image", name="pk_month_image_totals"
        ),
        sqlite_with_rowid=False,
    )
    sums = ", ".join(f"sum({name})" for name in _FIGURES)
    op.execute(
        f"INSERT INTO month_image_totals ({_KEYS}, {', '.join(_FIGURES)}) "  # noqa: S608 - our own names
        f"SELECT {_KEYS}, {sums} FROM month_totals GROUP BY {_KEYS}"
    )


def downgrade() -> None:
    op.drop_table("month_image_totals")
