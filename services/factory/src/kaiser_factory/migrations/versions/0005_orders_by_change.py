"""Finds the orders that ended in a span of time."""

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """For figures, and for the deletion of what is older than the retention."""
    op.execute("CREATE INDEX orders_by_change ON factory.orders (env, changed_at)")
