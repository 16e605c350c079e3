"""When a will took a device offline: what was heard of it before is no sign of life after."""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """By the clock of ingest, as is every time at which a device was heard."""
    op.execute("ALTER TABLE health.devices ADD COLUMN will_at timestamptz")
