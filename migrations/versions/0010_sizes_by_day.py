"""sizes by day: what a pod held within a month, one size after another.

Revision: 0010, after 0009
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Earlier records have their totals only: a day has its share of those.
    kept = sa.Column(
        "spans", sa.Text(), nullable=False, server_default="[]", comment="JSON: see rows.py"
    )
    op.add_column("records", kept)


def downgrade() -> None:
    op.drop_column("records", "spans")
