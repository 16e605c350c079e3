"""Adds the zones that devices are in and that the table of zones lacks, at the start and every hour.

During an update a health of the previous version may still run, and it puts devices into zones without adding the zone.
Killed: the next start adds them.
"""

from kaiser_common.runtime.database import DatabasePool

from kaiser_health.store import zones


async def add_missing_zones(pool: DatabasePool) -> None:
    """Have a zone for each that devices are in."""
    async with pool.connection() as connection:
        await zones.begin_missing(connection)
