"""How many messages of a replay did not come through."""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.execute("ALTER TABLE recorder.replays ADD COLUMN refused bigint NOT NULL DEFAULT 0")
