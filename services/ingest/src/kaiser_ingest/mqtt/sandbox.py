"""Empties the sandbox broker, so that nothing of the previous environment shows in the next one.

Killed in the middle: the next process finds that this epoch was not begun with an empty broker, and empties it.
"""

import asyncio
from contextlib import ExitStack

import structlog
from kaiser_common.bus.waiting import set_within

from kaiser_ingest.domain import reason_codes
from kaiser_ingest.domain.incoming import Incoming
from kaiser_ingest.mqtt.connection import ConnectFailed, MqttConnection
from kaiser_ingest.mqtt.profiles import Profile
from kaiser_ingest.mqtt.sending import ConnectionLost, MqttPublication

log = structlog.get_logger()

_QUIET_S = 0.2
_WITHIN_S = 20.0
_KEPT_BYTES = 1024
_ROUNDS = 5


async def empty(profile: Profile, client_id: str, *, mqtt5: bool) -> None:
    """Have the broker forget the session of this client id and every retained message. Raises ConnectFailed."""
    try:
        async with asyncio.timeout(_WITHIN_S):
            for _ in range(_ROUNDS):
                if not await _round(profile, client_id, mqtt5=mqtt5):
                    return
    except (ConnectionLost, TimeoutError) as error:
        raise ConnectFailed(f"the sandbox was not emptied: {error or 'it took too long'}") from error
    raise ConnectFailed("the sandbox was not emptied: a client publishes retained messages there")


async def _round(profile: Profile, client_id: str, *, mqtt5: bool) -> int:
    """One look for retained messages, which are taken away; how many there were."""
    retained: set[bytes] = set()
    heard = asyncio.Event()

    def on_messages(messages: list[Incoming]) -> None:
        heard.set()
        retained.update(one.topic for one in messages if one.retained and one.payload)

    connection = MqttConnection(
        profile,
        client_id=client_id,
        mqtt5=mqtt5,
        generation=0,
        will=MqttPublication("kaiser/sandbox", b"", 0, False),
        keepalive_s=30,
        session_expiry_s=0,
        will_delay_s=0,
        receive_maximum=1000,
        kept_bytes=_KEPT_BYTES,
        on_messages=on_messages,
        clean=True,
    )
    with ExitStack() as undo:
        undo.callback(connection.abort)
        await connection.connect()
        if not await connection.subscribe_if_allowed("#"):
            raise ConnectFailed("the sandbox cannot be emptied: the broker refuses the filter #")
        while await set_within(heard, _QUIET_S):
            heard.clear()
        topics = sorted(one.decode(errors="replace") for one in retained)
        codes = await asyncio.gather(
            *(connection.publish(MqttPublication(topic, b"", 1, True), _WITHIN_S) for topic in topics)
        )
        if any(code >= reason_codes.FAILURE_FROM for code in codes):
            raise ConnectFailed("the sandbox refuses to remove retained messages")
        await connection.disconnect()
        undo.pop_all()
    log.info("sandbox_emptied", retained=len(topics))
    return len(topics)
