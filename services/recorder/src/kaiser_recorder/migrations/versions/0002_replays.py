"""Replays of recordings."""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """number: of the last message that was passed; begin_number, end_number: behind and up to which it is replayed."""
    op.execute(
        """
        CREATE TABLE recorder.replays (
            replay_id text PRIMARY KEY,
            recording_id text NOT NULL,
            env text NOT NULL,
            epoch bigint NOT NULL,
            state text NOT NULL
                CHECK (state IN ('running', 'paused', 'checking', 'done', 'stopped', 'failed')),
            phase text NOT NULL CHECK (phase IN ('entering', 'snapshot', 'messages', 'checking', 'ending')),
            ends_as text,
            reason text,
            speed double precision,
            filters text[],
            exclude text[] NOT NULL,
            begin_number bigint NOT NULL,
            end_number bigint NOT NULL,
            number bigint NOT NULL,
            turn bigint NOT NULL,
            first_us bigint NOT NULL,
            last_us bigint NOT NULL,
            position_us bigint NOT NULL,
            repeats boolean NOT NULL,
            shift text NOT NULL,
            shift_ms bigint NOT NULL,
            armed boolean NOT NULL,
            expected jsonb,
            sent bigint NOT NULL DEFAULT 0,
            left_out bigint NOT NULL DEFAULT 0,
            failed bigint NOT NULL DEFAULT 0,
            drift_ms bigint NOT NULL DEFAULT 0,
            passed boolean,
            differences jsonb NOT NULL DEFAULT '[]'::jsonb,
            created_at timestamptz NOT NULL,
            created_by text NOT NULL,
            ended_at timestamptz
        )
        """
    )
    op.execute("CREATE INDEX replays_by_time ON recorder.replays (created_at DESC, replay_id)")
    op.execute("CREATE UNIQUE INDEX replays_open ON recorder.replays (env) WHERE ended_at IS NULL")
