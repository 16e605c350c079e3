"""Notes when each process of Kaiser started, so that a chart shows the deployments of its span.

A process is noted once it has answered: one that lives for less than half a minute may be missed. Killed, or without a
database: the next look notes the processes that run then. Each replica of the gateway does it; a start is stored once.
"""

from functools import partial

from kaiser_common.runtime.database import DatabasePool, wait_for_schema
from kaiser_common.runtime.loops import every

from kaiser_gateway.api.system_status import Status
from kaiser_gateway.store import starts

_LOOK_EVERY_S = 30.0


async def keep_starts(pool: DatabasePool, status: Status) -> None:
    """Look every half minute, until cancelled."""
    await wait_for_schema(pool, "gateway")
    await every(_LOOK_EVERY_S, partial(_look, pool, status), "starts_not_noted")


async def _look(pool: DatabasePool, status: Status) -> None:
    found = await status.current()
    await starts.note(pool, [replica for service in found.services for replica in service.replicas])
    await starts.drop_old(pool)
