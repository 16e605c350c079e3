"""Notes the epoch to which the rows of a mock or replay environment belong; a later epoch begins without them."""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """An environment without a row has not begun: its rows are deleted when its next epoch does."""
    op.execute("CREATE TABLE factory.begun (env text PRIMARY KEY, epoch bigint NOT NULL)")
