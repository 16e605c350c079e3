"""The figures and words of an alarm's message, for a sentence in another language."""

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """A process of the previous version goes on: its rows have no facts."""
    op.execute("ALTER TABLE alarm.alarms ADD COLUMN facts jsonb NOT NULL DEFAULT '{}'")
