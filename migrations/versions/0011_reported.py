"""which stuck messages, and how many records that a destination cannot carry, were told already.

Revision: 0011, after 0010
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    stuck = "when a push told that it is stuck; nothing: none did"
    op.add_column("messages", sa.Column("reported_at", sa.Float(), comment=stuck))
    left = "records that it cannot carry, as the last push told"
    op.add_column(
        "outlets",
        sa.Column("left_out", sa.Integer(), nullable=False, server_default="0", comment=left),
    )


def downgrade() -> None:
    op.drop_column("outlets", "left_out")
    op.drop_column("messages", "reported_at")
