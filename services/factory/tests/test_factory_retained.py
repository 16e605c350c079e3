"""Retained messages of the factory's broker: listed by ingest, and removed by an empty retained message."""

import asyncio
import base64
import json
from collections.abc import Callable
from typing import Any

import paho.mqtt.client as paho
import pytest
from kaiser_common.bus.rpc import Caller, RpcError, call
from kaiser_common.contract.rpc import Nothing
from kaiser_common.contract.schemas.api.factory import FactoryCommandId, FactoryModules, SteerAnswer, SteerRequest
from kaiser_common.contract.schemas.api.messages import CheckedMessage, CheckMessage, RetainedTopics
from kaiser_common.contract.schemas.factory import FactoryCommandEntry

REQUEST = "ccu/order/request"
ORDER = {"type": "WHITE", "timestamp": "2026-01-01T00:00:00.000Z", "orderType": "PRODUCTION"}


async def ask_ingest(plant: Any, method: str, request: Any, answer: Any) -> Any:
    caller = Caller(user="someone", role="viewer")
    return await call(plant.bus, "ingest-factory", method, request, answer, caller=caller, timeout_s=60.0)


async def retained_at(broker: Any, topic: str) -> bytes | None:
    """The message that the broker itself gives to a client that subscribes now."""
    found: list[bytes] = []
    done = asyncio.Event()
    loop = asyncio.get_running_loop()
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id="", protocol=paho.MQTTv5)

    def on_message(_: Any, __: Any, message: Any) -> None:
        if message.topic == topic and message.retain:
            found.append(message.payload)
        if message.topic == "mark/of/this/test":
            loop.call_soon_threadsafe(done.set)

    client.on_message = on_message
    client.connect(broker.host, broker.port)
    client.loop_start()
    client.subscribe([(topic, 1), ("mark/of/this/test", 1)])
    client.publish("mark/of/this/test", b"x", qos=1)
    async with asyncio.timeout(60):
        await done.wait()
    client.loop_stop()
    client.disconnect()
    return found[-1] if found else None


async def test_a_retained_command_is_listed_and_taken_away_and_the_journal_says_so(
    plant: Any, until: Callable[..., Any]
) -> None:
    plant.publish(REQUEST, ORDER, retain=True)
    plant.publish("osf/seen", b"x", retain=True)
    plant.publish("ccu/state/stock", {"ts": "2026-01-01T00:00:00.000Z", "stockItems": []}, retain=True)
    await until(lambda: plant.answers("modules", None, FactoryModules))
    plant.ingest.kill()
    plant.ingest.start()  # the broker sends it everything retained again

    async def listed() -> dict[str, Any] | None:
        try:
            found = await ask_ingest(plant, "retained", Nothing(), RetainedTopics)
        except RpcError:
            return None
        items = {one.topic: one for one in found.topics}
        return items if {REQUEST, "osf/seen", "ccu/state/stock"} <= items.keys() else None

    items = await until(listed)
    assert next(iter(items)) == REQUEST  # commands first
    assert [(items[one].command, items[one].known_by) for one in (REQUEST, "osf/seen")] == [
        (True, "broker"),
        (False, "broker"),
    ]
    assert await retained_at(plant.broker, REQUEST) is not None

    sent: SteerAnswer = await plant.ask("steer", SteerRequest(request={"do": "clear", "topic": REQUEST}), SteerAnswer)

    async def ended() -> bool:
        request = FactoryCommandId(command_id=sent.commands[0].command_id)
        entry = await plant.ask("command", request, FactoryCommandEntry)
        return bool(entry.state == "sent")

    await until(ended)
    assert await retained_at(plant.broker, REQUEST) is None
    assert await retained_at(plant.broker, "osf/seen") == b"x"

    async def gone() -> bool:
        return REQUEST not in {
            one.topic for one in (await ask_ingest(plant, "retained", Nothing(), RetainedTopics)).topics
        }

    await until(gone)


@pytest.mark.parametrize(
    ("do", "topic", "status"),
    [
        ("clear", "kaiser/god/esp/ESP_1/config", 409),
        ("clear", "ccu/+/request", 409),
        ("publish", "kaiser/god/esp/ESP_1/actuator/5/command", 409),
        ("publish", "kaiser/broadcast/emergency", 409),
    ],
)
async def test_nothing_is_sent_to_devices_or_to_wildcards(
    plant: Any, until: Callable[..., Any], do: str, topic: str, status: int
) -> None:
    await until(lambda: plant.answers("modules", None, FactoryModules))
    request = {"do": do, "topic": topic} | ({"payload": {}, "free": True} if do == "publish" else {})
    with pytest.raises(RpcError) as refused:
        await plant.ask("steer", SteerRequest(request=request), SteerAnswer, role="admin")
    assert (refused.value.problem.status, refused.value.problem.code) == (status, 5405)
    assert refused.value.problem.detail


async def test_a_message_is_judged_as_ingest_would_without_being_sent(plant: Any, until: Callable[..., Any]) -> None:
    await until(lambda: plant.answers("modules", None, FactoryModules))

    async def verdict(topic: str, **fields: Any) -> CheckedMessage:
        found = await ask_ingest(plant, "check_message", CheckMessage(topic=topic, **fields), CheckedMessage)
        assert isinstance(found, CheckedMessage)
        return found

    good = await verdict(REQUEST, payload=ORDER | {"colour": 1})
    assert (good.verdict, good.kind, good.normalised["order_type"]) == ("accept", "ccu.request", "PRODUCTION")
    assert good.warnings == ["not read: colour"]
    bad = await verdict(REQUEST, payload={"timestamp": ORDER["timestamp"]})
    assert (bad.verdict, bad.code, bad.field) == ("reject", 5205, "type")
    cut = await verdict(REQUEST, payload_base64=base64.b64encode(json.dumps(ORDER).encode()[:-3]).decode())
    assert (cut.verdict, cut.code) == ("reject", 5209)
    retained = await verdict(REQUEST, payload=ORDER, retain=True)
    assert (retained.verdict, retained.reason) == ("ignore", "retained_command")
    with pytest.raises(RpcError) as refused:
        await verdict(REQUEST, payload_base64="no base64!")
    assert (refused.value.problem.status, refused.value.problem.field) == (422, "payload_base64")
