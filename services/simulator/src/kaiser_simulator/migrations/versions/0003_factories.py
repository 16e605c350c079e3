"""The mock factory."""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """One row per environment: `setup` is what the operator set, `plant` the state, `sequence` how far it has read
    TOPICS, `unsent` its last messages, `said` their number."""
    op.execute(
        """
        CREATE TABLE simulator.factories (
            env text PRIMARY KEY,
            epoch integer NOT NULL,
            setup jsonb NOT NULL,
            plant jsonb NOT NULL,
            sequence bigint NOT NULL,
            said integer NOT NULL,
            unsent jsonb NOT NULL,
            updated_at timestamptz NOT NULL DEFAULT now()
        ) WITH (fillfactor = 50)
        """
    )
