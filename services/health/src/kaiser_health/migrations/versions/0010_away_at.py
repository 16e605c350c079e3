"""When a device was last found offline: rules do not act on values from before it."""

from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Of devices that are offline now it is the time of their will or of their last message. A process of the previous
    version does not write it: of a device that it takes offline the time before stays."""
    op.execute("ALTER TABLE health.devices ADD COLUMN away_at timestamptz")
    op.execute("UPDATE health.devices SET away_at = greatest(last_seen_at, will_at) WHERE NOT online")
