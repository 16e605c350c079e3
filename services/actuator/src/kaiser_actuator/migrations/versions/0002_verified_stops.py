"""Numbers of stops, the place of a clear in the stream, the first report of on, the body of an idempotent request."""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """New columns only: rows and code from before go on."""
    op.execute("ALTER TABLE actuator.emergencies ADD COLUMN number bigint, ADD COLUMN cleared_seq bigint")
    op.execute("ALTER TABLE actuator.actuators ADD COLUMN on_since timestamptz")
    op.execute("ALTER TABLE actuator.commands ADD COLUMN body_hash text")
