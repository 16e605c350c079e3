"""The time at which a will took a device offline: messages received before it are no sign of life afterwards."""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """By the clock of ingest, as is every time at which a device was heard."""
    op.execute("ALTER TABLE health.devices ADD COLUMN will_at timestamptz")
