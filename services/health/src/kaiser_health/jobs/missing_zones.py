"""At the start and every hour, adds the zones that a health of an earlier version put devices into: it may run beside
this one while a site is updated. Killed: the next start adds them."""

from kaiser_common.runtime.database import DatabasePool

from kaiser_health.store import zones


async def add_missing_zones(pool: DatabasePool) -> None:
    """Have a zone for each that devices are in."""
    async with pool.connection() as connection:
        await zones.begin_missing(connection)
