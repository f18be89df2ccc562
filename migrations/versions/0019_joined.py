"""joined: records that joined a total after all of their month had been told.

What joined before is not known: months that have changed since then are searched whole once more.

Revision: 0019, after 0018
"""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "joined",
        sa.Column("year", sa.Integer(), nullable=False),
        sa.Column("month", sa.Integer(), nullable=False),
        sa.Column("uid", sa.String(64), nullable=False),
        sa.Column(
            "revision",
            sa.BigInteger(),
            nullable=False,
            comment="of the month, when it joined",
        ),
        sa.PrimaryKeyConstraint("year", "month", "uid", name="pk_joined"),
        sqlite_with_rowid=False,
    )
    op.execute(
        "DELETE FROM settled WHERE destination IN "
        "(SELECT destination FROM outlets WHERE kind = 'records') AND NOT EXISTS "
        "(SELECT 1 FROM revisions WHERE revisions.year = settled.year "
        "AND revisions.month = settled.month AND revisions.revision = settled.revision)"
    )


def downgrade() -> None:
    op.drop_table("joined")
