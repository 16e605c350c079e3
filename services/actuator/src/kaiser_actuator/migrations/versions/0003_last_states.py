"""The state that an actuator reported last, kept when its state is not known any more."""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """A new column: code from before goes on, and leaves it as it is."""
    op.execute("ALTER TABLE actuator.actuators ADD COLUMN last_state boolean")
    op.execute("UPDATE actuator.actuators SET last_state = state WHERE state IS NOT NULL")
