"""The owners that must be asked for their current state, because events between two positions were not kept."""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """A process of the previous version neither reads nor writes the column."""
    op.execute("ALTER TABLE alarm.position ADD COLUMN owed text NOT NULL DEFAULT ''")
