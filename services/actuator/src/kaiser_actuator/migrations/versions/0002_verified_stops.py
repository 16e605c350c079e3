"""Columns for a stop's number, its clear's sequence, the first report of on, and the hash of a request body."""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """New columns only: rows and code from before go on."""
    op.execute("ALTER TABLE actuator.emergencies ADD COLUMN number bigint, ADD COLUMN cleared_seq bigint")
    op.execute("ALTER TABLE actuator.actuators ADD COLUMN on_since timestamptz")
    op.execute("ALTER TABLE actuator.commands ADD COLUMN body_hash text")
