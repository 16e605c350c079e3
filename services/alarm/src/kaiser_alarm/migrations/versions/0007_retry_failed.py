"""Notifications that were given up while their alarm still waits for a person are tried again."""

from alembic import op

revision = "0007"
down_revision = "0006"

RETRY = """
    UPDATE alarm.notifications AS one
    SET state = 'waiting', ended_at = NULL, next_try_at = now() + interval '5 minutes'
    FROM alarm.alarms AS its WHERE its.alarm_id = one.alarm_id AND one.state = 'failed' AND its.state = 'raised'
"""


def upgrade() -> None:
    """A process of the previous version that still runs would give them up again: they wait until it has ended."""
    op.execute(RETRY)
