"""Rules and their executions."""

from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """A rule is one document; what is asked for by is beside it. An execution is written when it begins and ends."""
    op.execute(
        """
        CREATE TABLE logic.rules (
            rule_id text PRIMARY KEY,
            name text NOT NULL,
            enabled boolean NOT NULL,
            devices text[] NOT NULL,
            settings jsonb NOT NULL,
            version int NOT NULL,
            created_at timestamptz NOT NULL,
            updated_at timestamptz NOT NULL,
            updated_by text NOT NULL
        )
        """
    )
    op.execute("CREATE INDEX rules_name ON logic.rules (name, rule_id)")
    op.execute(
        """
        CREATE TABLE logic.executions (
            execution_id text PRIMARY KEY,
            rule_id text NOT NULL,
            rule_name text NOT NULL,
            outcome text NOT NULL,
            reason text,
            trigger jsonb NOT NULL,
            decisions jsonb NOT NULL,
            actions jsonb NOT NULL,
            started_at timestamptz NOT NULL,
            ended_at timestamptz,
            duration_ms bigint
        )
        """
    )
    op.execute("CREATE INDEX executions_time ON logic.executions (started_at DESC, execution_id DESC)")
    op.execute("CREATE INDEX executions_rule ON logic.executions (rule_id, started_at DESC, execution_id DESC)")
