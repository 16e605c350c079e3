"""Events of devices that came online or went offline, until EVENTS has them."""

from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """A table of its own, empty most of the time: the old code goes on without it."""
    op.execute(
        """
        CREATE TABLE health.owed_events (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            event_id text NOT NULL,
            subject text NOT NULL,
            body text NOT NULL
        )
        """
    )
