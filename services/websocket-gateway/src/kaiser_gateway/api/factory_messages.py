"""Asks about messages: `ingest-factory` if it runs, else `ingest`; about a device's messages always `ingest`."""

from kaiser_common.bus.connection import Bus
from kaiser_common.bus.rpc import Caller, NotRunning, call
from kaiser_common.contract.rpc import Nothing
from kaiser_common.contract.schemas.api.messages import CheckedMessage, CheckMessage, RetainedTopics

_DEVICES = "kaiser/"


async def verdict_on(bus: Bus, message: CheckMessage, caller: Caller) -> CheckedMessage:
    """The verdict of ingest; on a message of a device that of the devices' ingest."""
    if not message.topic.startswith(_DEVICES):
        try:
            return await call(bus, "ingest-factory", "check_message", message, CheckedMessage, caller=caller)
        except NotRunning:
            pass
    return await call(bus, "ingest", "check_message", message, CheckedMessage, caller=caller)


async def retained_by_broker(bus: Bus, caller: Caller) -> RetainedTopics:
    """The retained messages of the factory's broker. RpcError 404: no ingest speaks the factory's dialect."""
    try:
        return await call(bus, "ingest-factory", "retained", Nothing(), RetainedTopics, caller=caller)
    except NotRunning:
        return await call(bus, "ingest", "retained", Nothing(), RetainedTopics, caller=caller)
