"""Generations of users, families of refresh tokens, and the log of sign-ins and user changes.

Each existing user gets a generation. Earlier tokens carry none and are refused, so people have to sign in again.
"""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Numbers come from one sequence, so a name that is used again never gets an old one."""
    op.execute("CREATE SEQUENCE gateway.generations")
    op.execute("ALTER TABLE gateway.users ADD COLUMN generation bigint NOT NULL DEFAULT nextval('gateway.generations')")
    op.execute(
        """
        CREATE TABLE gateway.families (
            family text PRIMARY KEY,
            username text NOT NULL REFERENCES gateway.users ON DELETE CASCADE,
            generation bigint NOT NULL,
            token_id text NOT NULL,
            expires_at timestamptz NOT NULL
        )
        """
    )
    op.execute("CREATE INDEX families_username ON gateway.families (username, expires_at)")
    op.execute(
        """
        CREATE TABLE gateway.access_log (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            at timestamptz NOT NULL DEFAULT now(),
            actor text NOT NULL,
            action text NOT NULL,
            target text NOT NULL,
            address text NOT NULL,
            detail text NOT NULL DEFAULT ''
        )
        """
    )
    op.execute("CREATE INDEX access_log_at ON gateway.access_log (at)")
