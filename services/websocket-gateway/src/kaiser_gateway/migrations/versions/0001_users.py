"""Users of the API."""

from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Names, argon2 hashes and roles."""
    op.execute(
        """
        CREATE TABLE gateway.users (
            username text PRIMARY KEY,
            password_hash text NOT NULL,
            role text NOT NULL CHECK (role IN ('viewer', 'operator', 'admin')),
            created_at timestamptz NOT NULL DEFAULT now()
        )
        """
    )
