"""when a pod's node was lost.

Revision: 0009, after 0008
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("pods", sa.Column("lost_at", sa.Float(), comment="when its node was lost"))


def downgrade() -> None:
    op.drop_column("pods", "lost_at")
