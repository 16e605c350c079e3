"""Users: creates the first administrator, follows changes of users and where they sign in, and drops old entries of
their log."""

import asyncio
from functools import partial

import psycopg
import structlog
from kaiser_common.contract.errors import line_of
from kaiser_common.runtime.database import UNAVAILABLE, DatabasePool, wait_for_schema
from kaiser_common.runtime.loops import every

from kaiser_gateway.settings import GatewaySettings
from kaiser_gateway.store import access_log
from kaiser_gateway.store.sessions import Sessions
from kaiser_gateway.store.standing import Standings
from kaiser_gateway.store.users import Users

log = structlog.get_logger()

_DROP_EVERY_S = 3600.0
_PLACES_EVERY_S = 600.0
_NOT_YET: tuple[type[Exception], ...] = (*UNAVAILABLE, psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn)
"""The database is away, or its migration still under way."""


async def keep_users(
    pool: DatabasePool, users: Users, sessions: Sessions, standings: Standings, settings: GatewaySettings
) -> None:
    """Set the first administrator once the database is there, follow the users, drop old entries of the log.

    The gateway serves requests before that: tokens and emergency stops need no database. Where users signed in, before
    its start or at another gateway, it reads from the log.
    """
    await wait_for_schema(pool, "gateway")
    while not users.ready:
        try:
            await standings.read()
            await _ensure_admin(users, settings)
            users.ready = True
        except _NOT_YET as error:
            log.warning("users_not_ready", error=line_of(error))
            await asyncio.sleep(1.0)
    drop_old, read_places = partial(access_log.drop_old, pool), partial(_read_places, pool, users)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(standings.follow(), name="standings")
        tasks.create_task(every(_PLACES_EVERY_S, read_places, "known_places_not_read"), name="known-places")
        tasks.create_task(every(_DROP_EVERY_S, drop_old, "log_not_shortened"), name="access-log")
        tasks.create_task(every(_DROP_EVERY_S, sessions.drop_old, "ended_sessions_not_dropped"), name="sessions")


async def _read_places(pool: DatabasePool, users: Users) -> None:
    users.known.add_earlier(await access_log.places(pool))


async def _ensure_admin(users: Users, settings: GatewaySettings) -> None:
    password = settings.first_password()
    if password:
        await users.ensure_admin(settings.admin_user, password)
    else:
        log.warning("no_administrator_password", set="KAISER_ADMIN_PASSWORD or KAISER_ADMIN_PASSWORD_FILE")
