"""Answers the request for the system's status over NATS: each process answers for itself."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from kaiser_common.bus.connection import Bus
from kaiser_common.contract.subjects import STATUS_SUBJECT
from kaiser_common.runtime.service import Service

log = structlog.get_logger()

_STATUS_AT_ONCE = 8


@asynccontextmanager
async def answer_status(bus: Bus, service: Service) -> AsyncIterator[None]:
    """Answer every request for the status of the system while the context is open, at most 8 concurrently."""
    running: set[asyncio.Task[None]] = set()

    async def answer(message: Msg) -> None:
        status = await service.status()
        try:
            await bus.client.publish(message.reply, status.model_dump_json().encode())
        except NatsError as error:
            log.debug("status_not_sent", error=str(error))

    async def on_question(message: Msg) -> None:
        if message.reply and len(running) < _STATUS_AT_ONCE:
            task = asyncio.create_task(answer(message), name="status")
            running.add(task)
            task.add_done_callback(running.discard)

    subscription = await bus.client.subscribe(STATUS_SUBJECT, cb=on_question)
    try:
        yield
    finally:
        try:
            await subscription.unsubscribe()
        except NatsError as error:
            log.debug("unsubscribe_failed", error=str(error))
        for task in running:
            task.cancel()
