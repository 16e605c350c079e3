"""Columns for the list of sessions, and a table of the sessions that were ended early.

Existing rows get the time of the migration as their start; earlier versions of the gateway write none of the new
columns.
"""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Each column has a default, so the previous version of the gateway can still write."""
    op.execute(
        """
        ALTER TABLE gateway.families
            ADD COLUMN begun_at timestamptz NOT NULL DEFAULT now(),
            ADD COLUMN used_at timestamptz NOT NULL DEFAULT now(),
            ADD COLUMN address text NOT NULL DEFAULT '',
            ADD COLUMN agent text NOT NULL DEFAULT ''
        """
    )
    op.execute(
        """
        CREATE TABLE gateway.ended_sessions (
            family text PRIMARY KEY,
            ended_at timestamptz NOT NULL DEFAULT now()
        )
        """
    )
    op.execute("CREATE INDEX ended_sessions_at ON gateway.ended_sessions (ended_at)")
