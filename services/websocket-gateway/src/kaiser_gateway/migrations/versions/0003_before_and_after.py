"""The log of sign-ins and users says what a user was before a change and after it."""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Columns without a value: the old code goes on, and what is stored stays as it is."""
    op.execute('ALTER TABLE gateway.access_log ADD COLUMN "before" jsonb, ADD COLUMN "after" jsonb')
