"""The number of the next message on each topic of a VDA 5050 vehicle."""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """A table beside that of update ids: both numbers only grow."""
    op.execute(
        """
        CREATE TABLE factory.header_ids (
            env text NOT NULL,
            topic text NOT NULL,
            next bigint NOT NULL,
            PRIMARY KEY (env, topic)
        )
        """
    )
