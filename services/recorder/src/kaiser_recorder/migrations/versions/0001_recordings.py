"""Recordings and their messages."""

from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """next_sequence: where a recording that is being written goes on in TOPICS."""
    op.execute(
        """
        CREATE TABLE recorder.recordings (
            recording_id text PRIMARY KEY,
            name text NOT NULL,
            note text NOT NULL,
            source text NOT NULL CHECK (source IN ('live', 'import')),
            state text NOT NULL CHECK (state IN ('recording', 'importing', 'ready', 'failed', 'deleted')),
            reason text,
            env text,
            filters text[] NOT NULL,
            dialects text[] NOT NULL,
            created_at timestamptz NOT NULL,
            created_by text NOT NULL,
            ended_at timestamptz,
            from_at timestamptz,
            next_sequence bigint,
            first_us bigint,
            last_us bigint,
            messages bigint NOT NULL DEFAULT 0,
            bytes bigint NOT NULL DEFAULT 0,
            missing bigint NOT NULL DEFAULT 0,
            naive boolean NOT NULL DEFAULT false,
            bad_lines bigint NOT NULL DEFAULT 0,
            skipped jsonb NOT NULL DEFAULT '[]'::jsonb,
            meta text
        )
        """
    )
    op.execute("CREATE INDEX recordings_by_time ON recorder.recordings (created_at DESC, recording_id)")
    op.execute(
        """
        CREATE TABLE recorder.messages (
            recording_id text NOT NULL,
            number bigint NOT NULL,
            at_us bigint NOT NULL,
            topic text NOT NULL,
            payload bytea NOT NULL,
            qos smallint NOT NULL,
            retained boolean NOT NULL,
            PRIMARY KEY (recording_id, number)
        )
        """
    )
