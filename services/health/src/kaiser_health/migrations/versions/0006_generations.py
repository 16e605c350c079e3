"""Both firmware generations: a device's generation, restarts, site, token; configurations answered scope by scope."""

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Columns with defaults only: the old code goes on, and what is stored stays.

    A device that is registered already keeps its site until it speaks under another one.
    """
    op.execute(
        """
        ALTER TABLE health.devices
            ADD COLUMN kaiser_id_fixed boolean NOT NULL DEFAULT false,
            ADD COLUMN generation text NOT NULL DEFAULT 'A' CHECK (generation IN ('A', 'B')),
            ADD COLUMN boot int NOT NULL DEFAULT 0,
            ADD COLUMN boot_sequence_id text,
            ADD COLUMN beat_at timestamptz,
            ADD COLUMN emergency_token text,
            ADD COLUMN details jsonb NOT NULL DEFAULT '{}'
        """
    )
    op.execute("ALTER TABLE health.pushes ADD COLUMN answers jsonb NOT NULL DEFAULT '{}'")
    op.execute("ALTER TABLE health.pushes DROP CONSTRAINT pushes_kind_check")
    op.execute(
        "ALTER TABLE health.pushes ADD CONSTRAINT pushes_kind_check"
        " CHECK (kind IN ('config', 'zone', 'subzone', 'command'))"
    )
