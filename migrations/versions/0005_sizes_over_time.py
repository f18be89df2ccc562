"""what pods hold over time: resizes, and integrals within months.

Revision: 0005, after 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_INTEGRALS = {
    "core_seconds": ("cpu_count", "held within the month: cores x seconds"),
    "memory_mb_seconds": ("memory_mb", "held within the month: MB x seconds"),
    "gpu_seconds": ("gpu_count", "held within the month: accelerators x seconds"),
}


def upgrade() -> None:
    op.add_column(
        "pods",
        sa.Column(
            "resizes", sa.Text(), nullable=False, server_default="[]", comment="JSON: see rows.py"
        ),
    )
    for name, (_, comment) in _INTEGRALS.items():
        op.add_column("records", sa.Column(name, sa.Float(), comment=comment))
    # Until now no resize was noticed: a record's size held all the time.
    values = ", ".join(f"{name} = {of} * used_wall_seconds" for name, (of, _) in _INTEGRALS.items())
    op.execute(f"UPDATE records SET {values}")  # noqa: S608 - our own names


def downgrade() -> None:
    for name in _INTEGRALS:
        op.drop_column("records", name)
    op.drop_column("pods", "resizes")
