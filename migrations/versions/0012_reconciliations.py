"""reconciliations: what the accounting portal showed, beside what had been delivered.

Revision: 0012, after 0011
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "reconciliations",
        sa.Column("destination", sa.Text(), nullable=False),
        sa.Column("year", sa.Integer(), nullable=False),
        sa.Column("month", sa.Integer(), nullable=False),
        sa.Column("made_at", sa.Float(), nullable=False),
        sa.Column(
            "source", sa.Text(), nullable=False, comment="where the portal's figures came from"
        ),
        sa.Column(
            "unit",
            sa.String(16),
            nullable=False,
            comment="what the portal's times were taken for",
        ),
        sa.Column("is_partial", sa.Boolean(), nullable=False),
        sa.Column("lines", sa.Text(), nullable=False, comment="JSON: see reconciliations.py"),
        sa.PrimaryKeyConstraint(
            "destination", "year", "month", "made_at", name="pk_reconciliations"
        ),
    )


def downgrade() -> None:
    op.drop_table("reconciliations")
