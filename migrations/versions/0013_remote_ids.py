"""remote_ids: the ids that a receiver has given our figures.

Revision: 0013, after 0012
"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "remote_ids",
        sa.Column("destination", sa.Text(), nullable=False),
        sa.Column("uid", sa.String(64), nullable=False, comment="the figure's key, as in queued"),
        sa.Column("remote_id", sa.Text(), nullable=False),
        sa.Column("empaid", sa.String(64), nullable=False, comment="the message that told it last"),
        sa.PrimaryKeyConstraint("destination", "uid", name="pk_remote_ids"),
    )


def downgrade() -> None:
    op.drop_table("remote_ids")
