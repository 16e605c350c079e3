"""Turns thresholds of sensor configurations into limits: notes that the service sensor must be asked for them once."""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """A process of the previous version finds no owner of this name, and leaves the name in the column."""
    op.execute("UPDATE alarm.position SET owed = trim(owed || ' thresholds')")
