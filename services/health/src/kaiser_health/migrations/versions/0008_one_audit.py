"""The audit log has the changes of all services: from where, of which service, and how each ended."""

from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Columns with defaults only: what is stored are changes of devices that were done, and the old code goes on."""
    op.execute(
        """
        ALTER TABLE health.audit_log
            ADD COLUMN key text,
            ADD COLUMN service text NOT NULL DEFAULT 'health',
            ADD COLUMN address text NOT NULL DEFAULT '',
            ADD COLUMN outcome text NOT NULL DEFAULT 'done',
            ADD COLUMN detail text NOT NULL DEFAULT ''
        """
    )
    op.execute("CREATE UNIQUE INDEX audit_log_key ON health.audit_log (key)")
