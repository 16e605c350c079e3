"""Heartbeats may lack any figure: a device without Wi-Fi has no signal strength."""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """The old code, which always writes the figures, goes on working."""
    for column in ("uptime_s", "heap_free", "wifi_rssi"):
        op.execute(f"ALTER TABLE health.heartbeats ALTER COLUMN {column} DROP NOT NULL")
