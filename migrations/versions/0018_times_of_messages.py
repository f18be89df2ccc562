"""messages: when they were built and sent is found without reading past their bodies.

Revision: 0018, after 0017
"""

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

_COLUMNS = ("destination", "state", "built_at", "sent_at")
_NAME = f"ix_messages_{'_'.join(_COLUMNS)}"


def upgrade() -> None:
    op.create_index(_NAME, "messages", _COLUMNS)


def downgrade() -> None:
    op.drop_index(_NAME, "messages")
