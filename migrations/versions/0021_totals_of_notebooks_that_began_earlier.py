"""totals of months: how many notebooks have begun in them.

So records of notebooks that began earlier can be in totals, too: ``db upgrade`` takes them in.

Revision: 0021, after 0020
"""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

_TOTALS = ("month_totals", "day_totals", "month_vo_totals", "day_vo_totals")


def upgrade() -> None:
    begun: sa.Column[int] = sa.Column(
        "begun",
        sa.BigInteger(),
        nullable=False,
        server_default="0",
        comment="pods without a part in the month before",
    )
    op.add_column("month_totals", begun)
    # So far, nothing else was in them.
    op.execute(sa.text("UPDATE month_totals SET begun = pods"))


def downgrade() -> None:
    """Without it, the totals would count some notebooks twice: all records are apart."""
    op.drop_column("month_totals", "begun")
    for table in _TOTALS:
        op.execute(sa.text(f"DELETE FROM {table}"))  # noqa: S608 - our own names
    op.execute(sa.text("UPDATE records SET apart = true WHERE NOT apart"))
