"""Zones have a name, a description and a position of their own."""

from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """A new table with the zones that devices are in. The old code goes on without it; a zone that it begins is added
    when the new code starts."""
    op.execute(
        """
        CREATE TABLE health.zones (
            zone_id text PRIMARY KEY,
            name text NOT NULL,
            description text,
            position integer NOT NULL DEFAULT 0,
            version integer NOT NULL DEFAULT 1,
            created_at timestamptz NOT NULL DEFAULT now(),
            updated_at timestamptz NOT NULL DEFAULT now()
        )
        """
    )
    op.execute(
        "INSERT INTO health.zones (zone_id, name) SELECT DISTINCT zone_id, zone_id FROM health.devices"
        " WHERE zone_id IS NOT NULL AND zone_id <> ''"
    )
