"""The generation of firmware that a mock behaves like."""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Mocks that are stored already become generation a. The version before ignores the field and drops it when it
    writes a mock; the new version reads a mock without it as generation a."""
    op.execute(
        """
        UPDATE simulator.mocks SET setup = setup || '{"firmware": "a"}' WHERE NOT setup ? 'firmware'
        """
    )
