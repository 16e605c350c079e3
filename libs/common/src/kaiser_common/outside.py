"""Faults of the world: what database and bus raise while they are away, and what is done with a batch meanwhile."""

from collections.abc import Awaitable, Callable, Sequence

import psycopg
import structlog
from nats.errors import Error as NatsError

from kaiser_common.bus import BusUnavailable, end_if_cancelled
from kaiser_common.consumer import Consumer
from kaiser_common.database import UNAVAILABLE, Verdict, verdict
from kaiser_common.pull import Delivery

log = structlog.get_logger()

OUTSIDE: tuple[type[Exception], ...] = (*UNAVAILABLE, psycopg.Error, BusUnavailable, NatsError)
"""What database and bus raise. Some of the database's are bugs of ours: see `reason_of`."""

_RETRY_S = 1.0


def reason_of(error: Exception) -> str:
    """Why the world is down, in one line. A wrong statement of ours is no fault of the world: it is raised again."""
    if isinstance(error, psycopg.Error) and verdict(error) is not Verdict.RETRY:
        raise error
    return (str(error) or type(error).__name__).splitlines()[0]


async def take(
    consumer: Consumer,
    on_messages: Callable[[Sequence[Delivery]], Awaitable[None]],
    *,
    postponed: Callable[[], None] = lambda: None,
) -> None:
    """Give each batch to `on_messages` and acknowledge it once that returns, until the consumer is stopped.

    World down: `postponed` is called and the batch comes again in a second. A bug crashes, and nothing is acknowledged.
    """
    async for batch in consumer:
        end_if_cancelled()
        try:
            await on_messages(batch)
        except OUTSIDE as error:
            log.warning("messages_postponed", messages=len(batch), reason=reason_of(error))
            postponed()
            await consumer.nak(batch, delay_s=_RETRY_S)
        else:
            await consumer.ack(batch)
