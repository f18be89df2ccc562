"""energy: what pods took by day, and what records say of a month.

Revision: 0014, after 0013
"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table in ("pods", "figures"):
        kept = sa.Column(
            "days", sa.Text(), nullable=False, server_default="[]", comment="JSON: see rows.py"
        )
        op.add_column(table, kept)
    op.add_column("records", sa.Column("joules", sa.Float(), comment="taken within the month"))
    quality = sa.Column(
        "energy_quality",
        sa.String(32),
        nullable=False,
        server_default="",
        comment="how well that is known",
    )
    op.add_column("records", quality)


def downgrade() -> None:
    op.drop_column("records", "energy_quality")
    op.drop_column("records", "joules")
    op.drop_column("figures", "days")
    op.drop_column("pods", "days")
