"""Two errors of one code in one second of a device's clock are two errors where their texts differ."""

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """The old code goes on: it writes the digest "", and one error of a code and second, as before."""
    op.execute("ALTER TABLE health.device_errors ADD COLUMN text_digest text NOT NULL DEFAULT ''")
    op.execute("ALTER TABLE health.device_errors DROP CONSTRAINT device_errors_pkey")
    op.execute("ALTER TABLE health.device_errors ADD PRIMARY KEY (esp_id, ts, error_code, text_digest)")
