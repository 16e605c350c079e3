"""Finds the commands that changed a moment ago."""

from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """For a process that takes the journal up: the one before may have ended before it published them. Those from
    before this migration count as unchanged."""
    op.execute("ALTER TABLE factory.commands ADD COLUMN changed_at timestamptz NOT NULL DEFAULT 'epoch'")
    op.execute("ALTER TABLE factory.commands ALTER COLUMN changed_at SET DEFAULT now()")
    op.execute("CREATE INDEX commands_by_change ON factory.commands (changed_at)")
