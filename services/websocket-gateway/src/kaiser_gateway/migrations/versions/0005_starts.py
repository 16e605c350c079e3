"""When each process of Kaiser started, so that past deployments are known."""

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """A new table; the previous version of the gateway does not know it."""
    op.execute(
        """
        CREATE TABLE gateway.starts (
            service text NOT NULL,
            replica text NOT NULL,
            started_at timestamptz NOT NULL,
            version text NOT NULL,
            PRIMARY KEY (started_at, service, replica)
        )
        """
    )
