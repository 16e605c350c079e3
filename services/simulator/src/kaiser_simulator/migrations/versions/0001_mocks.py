"""Mock devices."""

from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """One row per mock: `setup` is what the operator set, `life` what it went through since.

    A deleted mock stays as a tombstone until health has taken it out of the registry.
    """
    op.execute(
        """
        CREATE TABLE simulator.mocks (
            esp_id text PRIMARY KEY,
            setup jsonb NOT NULL,
            life jsonb NOT NULL,
            deleted boolean NOT NULL DEFAULT false,
            created_at timestamptz NOT NULL DEFAULT now(),
            updated_at timestamptz NOT NULL DEFAULT now()
        ) WITH (fillfactor = 50)
        """
    )
