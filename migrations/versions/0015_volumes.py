"""volumes: what home volumes hold, day by day.

Revision: 0015, after 0014
"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "volumes",
        sa.Column("day", sa.Integer(), nullable=False, comment="since the epoch"),
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.Column(
            "name",
            sa.Text(),
            nullable=False,
            comment="its claim's; without a claim of its own, its directory's",
        ),
        sa.Column("uid", sa.String(64), nullable=False),
        sa.Column("year", sa.Integer(), nullable=False),
        sa.Column("month", sa.Integer(), nullable=False),
        sa.Column("site", sa.Text(), nullable=False),
        sa.Column("system", sa.Text(), nullable=False),
        sa.Column("share", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False, comment="the user; empty: several mount it"),
        sa.Column(
            "is_annotated",
            sa.Boolean(),
            nullable=False,
            comment="the claim itself says whose it is",
        ),
        sa.Column("user", sa.Text(), nullable=False, comment="the owner as the record says it"),
        sa.Column("group", sa.Text(), nullable=False),
        sa.Column("vo", sa.Text(), nullable=False),
        sa.Column("used_bytes", sa.BigInteger(), nullable=False),
        sa.Column("allocated_bytes", sa.BigInteger()),
        sa.Column("quality", sa.String(32), nullable=False, comment="see model/volumes.py"),
        sa.Column(
            "measured_at",
            sa.BigInteger(),
            comment="perhaps on an earlier day; nothing: not measured",
        ),
        sa.Column("created_at", sa.Float(), comment="when the claim was made"),
        sa.Column(
            "seen_at", sa.BigInteger(), nullable=False, comment="how much of the day was read"
        ),
        sa.Column(
            "held",
            sa.String(32),
            nullable=False,
            comment="why it does not go out; empty: it does",
        ),
        sa.Column("problem", sa.Text(), nullable=False),
        sa.Column(
            "digest", sa.String(64), nullable=False, comment="SHA-256 of the text that goes out"
        ),
        sa.PrimaryKeyConstraint("day", "namespace", "name", name="pk_volumes"),
        sqlite_with_rowid=False,
    )
    for columns in (("year", "month", "uid"), ("namespace", "name", "day"), ("uid",)):
        op.create_index(f"ix_volumes_{'_'.join(columns)}", "volumes", list(columns))


def downgrade() -> None:
    op.drop_table("volumes")
