"""Finds the checks of quality of a span of time, and those that still have a picture."""

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """For the checks of a workpiece, and for each new check, which drops the pictures of old ones."""
    op.execute("CREATE INDEX quality_by_time ON factory.quality (env, time)")
    op.execute("CREATE INDEX quality_with_picture ON factory.quality (env, quality_id) WHERE picture IS NOT NULL")
