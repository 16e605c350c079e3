"""Whether an AGV waited for its load, in its samples."""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """A process of the previous version writes none, which counts as not waiting."""
    op.execute("ALTER TABLE factory.samples ADD COLUMN waiting boolean")
