"""The factory's dialect on real servers: MQTT to FACTORY, TOPICS and REJECTED, and OUTBOX to MQTT once or never."""

import asyncio
import base64
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kaiser_common.bus.connection import connect
from kaiser_common.bus.consumer import Consumer
from kaiser_common.bus.declare import apply
from kaiser_common.bus.rpc import Caller, RpcError, call
from kaiser_common.contract.rpc import Nothing
from kaiser_common.contract.schemas.api.factory import EnvironmentStatus
from kaiser_common.contract.schemas.api.system import MqttProfiles, SwitchProfile
from kaiser_common.contract.schemas.factory import FactoryEnvironment, FactoryOutbox
from kaiser_common.contract.subjects import INGEST_FACTORY
from kaiser_common.runtime.consume import DeadLetters, take
from kaiser_common.runtime.service import Service
from kaiser_common.runtime.settings import CommonSettings
from kaiser_factory_dialect.compare import differences
from kaiser_factory_dialect.subjects import topic_of
from kaiser_ingest.consumers.factory_exit import FactoryExit
from kaiser_ingest.domain.factory_dialect import FactoryDialect
from kaiser_ingest.mqtt.sending import MqttPublication
from kaiser_ingest.publish import SystemEvents

GOLDEN = json.loads((Path(__file__).parents[3] / "tests/golden/factory-messages.json").read_text())
VECTORS = [each for each in GOLDEN["messages"] if not each["retain"]]
RETAINED = [each for each in GOLDEN["messages"] if each["retain"]]
ORDER = "module/v1/ff/SVR3QA2098/order"
ADMIN = Caller(user="ada", role="admin")


def payload_of(vector: dict[str, Any]) -> bytes:
    text = vector["payload"]
    if (fill := vector.get("fill")) is not None:
        text = text.replace(fill["marker"], fill["character"] * fill["times"])
    return text.encode()


async def read(world: Any, stream: str, subject: str) -> list[Any]:
    """Every message of a stream that the subject filter takes, in order."""
    async with world.client() as client:
        jetstream = client.jetstream()
        if not (await jetstream.stream_info(stream, subjects_filter=subject)).state.subjects:
            return []
        subscription = await jetstream.subscribe(
            subject, stream=stream, ordered_consumer=True, pending_msgs_limit=-1, pending_bytes_limit=-1
        )
        found = []
        while True:
            found.append(await subscription.next_msg(timeout=60.0))
            if found[-1].metadata.num_pending == 0:
                return found


@pytest.fixture
def ingest_of(world: Any) -> Callable[..., Any]:
    """Starts an ingest that speaks the factory's dialect alone."""
    return lambda **more: world.ingest(KAISER_MQTT_DIALECTS='["factory"]', **more)


@pytest.fixture
async def forgotten(world: Any) -> Any:
    """Takes retained messages away again: the broker is shared."""
    topics: list[str] = []
    yield topics.append
    device = await world.device()
    for topic in topics:
        await device.publish(0, topic, b"", retain=True)
    await device.all_acknowledged()
    await device.close()


async def test_every_vector_ends_where_it_belongs(
    world: Any, ingest_of: Callable[..., Any], until: Callable[..., Any]
) -> None:
    ingest = ingest_of(KAISER_OBSERVE='["#"]')  # some vectors are of topics that no filter wants
    await until(ingest.ready)
    device = await world.device()
    for number, vector in enumerate(VECTORS):
        await device.publish(number, vector["topic"], payload_of(vector))
    await device.all_acknowledged()
    await device.close()
    names = [each["topic"] for each in VECTORS]

    async def arrived() -> list[Any]:
        found = await read(world, "TOPICS", "topic.live.>")
        return [each for each in found if topic_of(each.subject)[1] in names]

    async def all_arrived() -> bool:
        return len(await arrived()) >= len(names)

    await until(all_arrived)
    await until(ingest.accounts_balance)
    topics = await arrived()
    assert [topic_of(each.subject)[1] for each in topics] == names
    short = [(each.data, payload_of(vector)) for each, vector in zip(topics, VECTORS, strict=True)]
    assert [vector for body, vector in short if body != vector and len(vector) <= 768 * 1024] == []
    wanted = [
        each["kind"] if each["expect"] == "accept" else str(each.get("code") or each["reason"]) for each in VECTORS
    ]
    assert [each.headers["Kaiser-Verdict"] for each in topics] == wanted
    assert {each.headers["Kaiser-Epoch"] for each in topics} == {"1"}

    accepted = [each for each in VECTORS if each["expect"] == "accept"]
    found = [body for _, body in await world.stored("FACTORY")]
    assert len(found) == len(accepted)
    lines = [
        f"{vector['name']}: {line}"
        for vector, body in zip(accepted, found, strict=True)
        for line in differences(vector.get("normalised", {}), body)
    ]
    assert lines == []
    rejected = await world.stored("REJECTED")
    refused = [(each["topic"], each["code"]) for each in VECTORS if each["expect"] == "reject"]
    assert sorted((body["topic"], body["code"]) for _, body in rejected) == sorted(refused)
    assert {body["serial"] for _, body in rejected if "module/v1/ff/SVRT10003/" in body["topic"]} == {"SVRT10003"}


async def test_every_retained_vector_ends_where_it_belongs(
    world: Any, ingest_of: Callable[..., Any], until: Callable[..., Any], forgotten: Callable[[str], None]
) -> None:
    device = await world.device()
    for number, vector in enumerate(RETAINED):
        forgotten(vector["topic"])
        await device.publish(number, vector["topic"], payload_of(vector), retain=True)
    await device.all_acknowledged()
    await device.close()
    ingest = ingest_of()
    await until(ingest.ready)

    async def verdicts() -> dict[str, tuple[str, str]]:
        found = await read(world, "TOPICS", "topic.live.>")
        return {
            topic_of(each.subject)[1]: (each.headers["Mqtt-Retain"], each.headers["Kaiser-Verdict"]) for each in found
        }

    async def all_there() -> bool:
        return len(await verdicts()) == len(RETAINED)

    await until(all_there)
    assert await verdicts() == {
        each["topic"]: ("1", each["kind"] if each["expect"] == "accept" else each["reason"]) for each in RETAINED
    }
    [accepted] = [each for each in RETAINED if each["expect"] == "accept"]
    [body] = [body for _, body in await world.stored("FACTORY")]
    assert differences(accepted["normalised"], body) == []
    assert await world.stored("REJECTED") == []
    assert (len(VECTORS), len(RETAINED)) == (95, 3)


async def test_oddities_are_counted_by_name_and_a_pairing_that_names_a_serial_twice_is_rejected(
    world: Any, ingest_of: Callable[..., Any], until: Callable[..., Any]
) -> None:
    ingest = ingest_of()
    await until(ingest.ready)
    state = {"serialNumber": "SVRX1", "orderId": 0, "orderUpdateId": "7", "errors": [{}, {}]}
    pairing = {"modules": [{"serialNumber": "SVRX1", "ip": "-1"}], "transports": []}
    twice = {"modules": [{"serialNumber": "SVRX1"}] * 2, "transports": []}
    said = [
        ("module/v1/ff/SVRX1/state", state | {"actionState": {"id": "a", "state": "WAITIING"}}),
        ("module/v1/ff/SVRX1/state", state | {"actionState": {"actionId": "a", "actionType": "PICK", "state": "done"}}),
        ("ccu/order/active", [{"orderId": "o", "status": "FINISHED"}]),
        ("ccu/state/stock", {"stockItems": [{"hbw": "SVRX2", "location": "A1"}]}),
        ("ccu/pairing/state", pairing),
        ("ccu/pairing/state", twice),
    ]
    device = await world.device()
    for number, (topic, value) in enumerate(said):
        await device.publish(number, topic, json.dumps(value).encode())
    await device.all_acknowledged()
    await device.close()
    name = "kaiser_ingest_factory_oddities_total"

    def counted() -> dict[str, float]:
        found = {key: value for key, value in ingest.metrics().items() if key.startswith(name + "{")}
        return {key.removeprefix(name + '{odd="').removesuffix('"}'): value for key, value in found.items()}

    await until(lambda: ingest.total("kaiser_ingest_messages_total") == len(said))
    assert counted() == {
        "order_id_zero": 2,
        "update_id_text": 2,
        "error_empty": 2,  # of two messages, each with two
        "action_without_command": 1,
        "action_state_odd": 2,
        "vda_names": 1,
        "order_status_for_state": 1,
        "bay_empty": 1,
        "ip_none": 1,
    }
    rejected = [(body["topic"], body["code"]) for _, body in await world.stored("REJECTED")]
    assert rejected == [("ccu/pairing/state", 5208)]
    paired = [body["modules"] for _, body in await world.stored("FACTORY") if body["kind"] == "ccu.pairing"]
    assert [[each["serial"] for each in modules] for modules in paired] == [["SVRX1"]]


async def test_a_retained_command_is_not_read_and_a_retained_state_fills_in(
    world: Any, ingest_of: Callable[..., Any], until: Callable[..., Any], forgotten: Callable[[str], None]
) -> None:
    state = json.dumps({"serialNumber": "SVRX1", "actionState": None}).encode()
    device = await world.device()
    for number, (topic, payload) in enumerate(
        [("module/v1/ff/SVRX1/state", state), ("ccu/set/reset", b'{"timestamp": "2026-01-01T00:00:00Z"}')]
    ):
        forgotten(topic)
        await device.publish(number, topic, payload, retain=True)
    await device.all_acknowledged()
    ingest = ingest_of()
    await until(ingest.ready)

    async def verdicts() -> dict[str, str]:
        return {
            topic_of(each.subject)[1]: each.headers["Kaiser-Verdict"]
            for each in await read(world, "TOPICS", "topic.live.>")
        }

    async def both() -> bool:
        return len(await verdicts()) == 2

    await until(both)
    assert await verdicts() == {"module/v1/ff/SVRX1/state": "module.state", "ccu/set/reset": "retained_command"}
    [stored] = await read(world, "FACTORY", "factory.live.>")
    assert json.loads(stored.data)["retained"] is True

    async def warned() -> bool:
        return any(body["event"] == "factory_retained_command" for _, body in await world.stored("EVENTS"))

    await until(warned)
    await device.close()


async def test_what_the_broker_retains_is_on_topics_again_after_the_stream_was_deleted(
    world: Any, ingest_of: Callable[..., Any], until: Callable[..., Any], forgotten: Callable[[str], None]
) -> None:
    said = {
        "module/v1/ff/SVRX1/connection": {"serialNumber": "SVRX1", "connectionState": "ONLINE"},
        "module/v1/ff/SVRX1/state": {"serialNumber": "SVRX1", "actionState": None},
    }
    ingest = ingest_of()
    await until(ingest.ready)
    device = await world.device()
    for number, (topic, payload) in enumerate(said.items()):
        forgotten(topic)
        await device.publish(number, topic, json.dumps(payload).encode(), retain=True)
    await device.all_acknowledged()

    async def kept() -> dict[str, tuple[str, str]]:
        found = await read(world, "TOPICS", "topic.live.>")
        verdicts = {topic_of(each.subject)[1]: each.headers for each in found}
        return {topic: (each["Mqtt-Retain"], each["Kaiser-Verdict"]) for topic, each in verdicts.items()}

    async def all_kept() -> bool:
        return (await kept()).keys() == said.keys()

    await until(all_kept)
    assert {retained for retained, _ in (await kept()).values()} == {"0"}
    await until(lambda: "topics_found" in ingest.log())
    for _ in range(2):  # deleted a second time, too
        async with connect(world.bus, "tests") as bus:
            await bus.jetstream.delete_stream("TOPICS")
            await apply(bus)
        await until(all_kept)
        assert await kept() == {
            "module/v1/ff/SVRX1/connection": ("1", "module.connection"),
            "module/v1/ff/SVRX1/state": ("1", "module.state"),
        }
    await device.close()


async def test_devices_and_the_factory_share_a_broker(
    world: Any, make_reading: Callable[..., bytes], until: Callable[..., Any]
) -> None:
    await world.approve(["ESP_0001", "ESP_TXT_1"])
    ingest = world.ingest(KAISER_MQTT_DIALECTS='["esp", "factory"]', KAISER_OBSERVE='["#"]')
    await until(ingest.ready)
    device = await world.device()
    await device.publish(0, world.topic("ESP_0001", "sensor/34/data"), make_reading("ESP_0001", 1))
    await device.publish(1, "kaiser/another/esp/ESP_0001/sensor/34/data", make_reading("ESP_0001", 1))
    climate = {"ts": "2026-01-01T00:00:00.000Z", "t": 23.4, "h": 41.5, "p": 1001.2, "iaq": 52, "aq": 3}
    for number, (txt, sensor, values) in enumerate(
        [("1", "bme680", climate), ("2", "bme680", climate), ("one", "ldr", {"br": 1}), ("1", "ldr", {"br": 61.5})], 2
    ):
        await device.publish(number, f"/j1/txt/{txt}/i/{sensor}", json.dumps(values).encode())
    await device.publish(6, "ccu/order/request", b'{"type": "RED", "timestamp": "2026-01-01T00:00:00Z"}')
    await device.all_acknowledged()
    await device.close()

    async def last_is_there() -> bool:
        return any("request" in each.subject for each in await read(world, "TOPICS", "topic.live.ccu.>"))

    await until(last_is_there)
    readings = [body for _, body in await world.stored("SENSORS")]
    # Climate and brightness of a TXT are readings of a device of its own, once that is registered: TXT 2 is not.
    assert [
        (each["gpio"], each["sensor_type"], each["value"], each["unit"], each["raw_mode"])
        for each in readings
        if each["esp_id"] == "ESP_TXT_1"
    ] == [
        (1, "bme680_temp", 23.4, "°C", False),
        (2, "bme680_humidity", 41.5, "%", False),
        (3, "bme680_pressure", 1001.2, "hPa", False),
        (4, "bme680_iaq", 52.0, "iaq", False),
        (5, "ldr_brightness", 61.5, "%", False),
    ]
    assert {each["esp_id"] for each in readings} == {"ESP_0001", "ESP_TXT_1"}
    assert all(each["ts"] == each["received_at"] for each in readings if each["esp_id"] == "ESP_TXT_1")
    assert await world.stored("REJECTED") == []
    topics = await read(world, "TOPICS", "topic.live.>")
    found = {topic_of(each.subject)[1]: each.headers["Kaiser-Verdict"] for each in topics}
    assert found["kaiser/another/esp/ESP_0001/sensor/34/data"] == "uncatalogued"
    # What KAISER_OBSERVE names of the devices' own topics is kept beside the reading that it became.
    assert found[world.topic("ESP_0001", "sensor/34/data")] == "sensor.data"
    assert found["ccu/order/request"] == "ccu.request"


async def test_messages_of_devices_are_kept_without_a_factory_and_beside_one(
    world: Any, make_reading: Callable[..., bytes], until: Callable[..., Any]
) -> None:
    """KAISER_TOPICS_DIALECTS with the dialect esp alone: TOPICS has what devices say, and nothing of it is read as the
    factory's. An ingest of a factory beside it has the environment, and keeps the factory's topics."""
    await world.approve(["ESP_0001"])
    kept = {"KAISER_TOPICS_DIALECTS": '["esp"]', "KAISER_OBSERVE": '["#"]'}
    ingest = world.ingest(**kept)
    await until(ingest.ready)
    device = await world.device()
    reading, command = world.topic("ESP_0001", "sensor/34/data"), world.topic("ESP_0001", "actuator/5/command")
    state = "module/v1/ff/SVRX1/state"
    valid_state = json.dumps({"serialNumber": "SVRX1", "actionState": None}).encode()

    async def say(number: int) -> None:
        await device.publish(number, reading, make_reading("ESP_0001", number))
        await device.publish(number + 1, command, b'{"command": "ON"}')
        await device.publish(number + 2, state, valid_state)
        await device.publish(number + 3, f"lab/{world.site}/x", b"%d" % number)
        await device.all_acknowledged()

    async def verdicts(**least: int) -> dict[str, list[str]]:
        """Of each topic; nothing before there are so many of the readings, of other topics and of states."""
        found: dict[str, list[str]] = {}
        for each in await read(world, "TOPICS", "topic.live.>"):
            found.setdefault(topic_of(each.subject)[1], []).append(each.headers["Kaiser-Verdict"])
        topics = {"readings": reading, "others": f"lab/{world.site}/x", "states": state}
        return found if all(len(found.get(topics[of], [])) >= count for of, count in least.items()) else {}

    await say(0)
    found = await until(lambda: verdicts(readings=1, others=1))
    assert found[reading] == ["sensor.data"]
    assert found[f"lab/{world.site}/x"] == ["observed"]
    assert command in found
    assert state not in found  # KAISER_TOPICS_DIALECTS leaves the factory's topics to another ingest
    assert [body["value"] if "value" in body else body["raw"] for _, body in await world.stored("SENSORS")] == [0]
    assert await world.stored("FACTORY") == []
    async with connect(world.bus, "tests") as bus:
        with pytest.raises(RpcError) as refused:
            await call(bus, "ingest", "environment", Nothing(), EnvironmentStatus, caller=ADMIN)
        assert refused.value.problem.status == 404
        beside = world.ingest(KAISER_SITE=f"f{world.site}", KAISER_MQTT_DIALECTS='["factory"]')
        await until(beside.ready)
        before = await call(bus, "ingest-factory", "environment", Nothing(), EnvironmentStatus, caller=ADMIN)
        ingest.stop()
        ingest.start()
        await until(ingest.ready)
        await say(10)
        found = await until(lambda: verdicts(readings=2, others=2, states=1))
        assert (len(found[reading]), found[state]) == (2, ["module.state"])
        after = await call(bus, "ingest-factory", "environment", Nothing(), EnvironmentStatus, caller=ADMIN)
        assert (after.env, after.epoch, after.since) == (before.env, before.epoch, before.since)
    await device.close()


async def test_a_topic_on_which_nats_hangs_up_is_refused_and_a_message_may_go_out_with_qos_0(
    world_at: Callable[[Any], Any], nats_mqtt: Any, until: Callable[..., Any]
) -> None:
    world = world_at(nats_mqtt)
    ingest = world.ingest(KAISER_MQTT_DIALECTS='["factory"]')
    await until(ingest.ready)
    module = await world.device()
    await module.subscribe("module/v1/#")
    lane = "mqtt.factory.command.SVR3QA2098"

    async def outcomes(command_id: str) -> list[str]:
        found = await read(world, "FACTORY", f"factory.live.sent.{command_id}")
        return [json.loads(each.data)["outcome"] for each in found]

    async with world.client() as client:
        jetstream = client.jetstream()
        await jetstream.publish(lane, outgoing("spaced", topic="a b/c", free=True))
        await jetstream.publish(lane, outgoing("quick", qos=0))

        async def both() -> bool:
            return (await outcomes("spaced"))[-1:] == ["refused"] and (await outcomes("quick"))[-1:] == ["sent"]

        await until(both)
    await until(lambda: (ORDER, b"quick") in module.heard)
    assert ingest.total("kaiser_ingest_reconnects_total") == 0
    await module.close()


def outgoing(command_id: str, *, topic: str = ORDER, age_ms: int = 0, **fields: Any) -> bytes:
    """A message for the factory as another service publishes it; its payload is its id."""
    message = {"env": "live", "epoch": 1, **fields}
    return (
        FactoryOutbox(
            topic=topic,
            payload_base64=base64.b64encode(command_id.encode()).decode(),
            queued_at=int(time.time() * 1000) - age_ms,
            command_id=command_id,
            **message,
        )
        .model_dump_json()
        .encode()
    )


class Broken:
    """A session whose connection fails with a bug after it has written a message."""

    def __init__(self) -> None:
        self.written: list[bytes] = []

    async def connection(self, _within_s: float) -> "Broken":
        return self

    async def answers(self, _within_s: float) -> bool:
        return True

    async def publish(self, message: MqttPublication, _within_s: float) -> int:
        self.written.append(message.payload)
        raise ZeroDivisionError("a bug")


async def test_a_command_is_not_written_again_after_a_bug(world: Any, until: Callable[..., Any]) -> None:
    """The consume loop calls the handler again; a command is settled before it is written. What cannot be read between
    them is rejected once."""
    network = Broken()
    environment = FactoryEnvironment(env="live", kind="live", epoch=1)
    async with connect(world.bus, "test") as bus, world.client() as client:
        consumer = Consumer(bus, INGEST_FACTORY)
        dialect = FactoryDialect((), (), (), lambda *_: None)
        exit_ = FactoryExit(bus, consumer, network, SystemEvents(bus), dialect, lambda: environment, ())  # type: ignore[arg-type]
        jetstream = client.jetstream()
        for body in (outgoing("one"), b"{not json", outgoing("two")):
            await jetstream.publish("mqtt.factory.command.SVR3QA2098", body, timeout=60.0)

        async def publish() -> None:
            async with consumer.open() as opened:
                await take(opened, exit_.on_messages, DeadLetters(bus, Service("test"), CommonSettings()))

        async def settled() -> bool:
            state = await jetstream.consumer_info(INGEST_FACTORY.stream, INGEST_FACTORY.name)
            return not state.num_pending and not state.num_ack_pending and len(network.written) == 2

        running = asyncio.create_task(publish())
        await until(settled)
        consumer.stop()
        await running
        assert await settled()
    assert network.written == [b"one", b"two"]
    assert [body["code"] for _, body in await world.stored("REJECTED")] == [5103]


async def test_a_command_goes_out_once_and_what_must_not_go_out_is_refused(
    world: Any, ingest_of: Callable[..., Any], until: Callable[..., Any]
) -> None:
    ingest = ingest_of()
    await until(ingest.ready)
    module = await world.device()
    await module.subscribe("#")
    lane = "mqtt.factory.command.SVR3QA2098"
    async with world.client() as client:
        jetstream = client.jetstream()
        for subject, body in [
            (lane, outgoing("one")),
            (lane, outgoing("late", age_ms=10_001)),
            (lane, outgoing("another-epoch", epoch=2)),
            (lane, outgoing("another-env", env="mock")),
            (lane, outgoing("retained", retain=True)),
            (lane, outgoing("says-a-state", topic="module/v1/ff/SVR3QA2098/state")),
            (lane, outgoing("a-device", topic="kaiser/god/esp/ESP_1/system/command", free=True)),
            ("mqtt.factory.mock.SVR3QA2098", outgoing("mock")),
            ("mqtt.factory.replay.SVR3QA2098", outgoing("replay")),
            ("mqtt.factory.other.SVR3QA2098", outgoing("no-lane")),
            (lane, b"{"),
            (lane, outgoing("two")),
        ]:
            await jetstream.publish(subject, body)

    async def receipts() -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for each in await read(world, "FACTORY", "factory.live.sent.>"):
            found.setdefault(each.subject.rpartition(".")[2], []).append(json.loads(each.data)["outcome"])
        return found

    async def done() -> bool:
        return (await receipts()).get("two", [])[-1:] == ["sent"]

    await until(done)
    heard = [payload for topic, payload in module.heard if topic == ORDER]
    assert heard == [b"one", b"two"]
    assert await receipts() == {
        "one": ["unconfirmed", "sent"],
        "two": ["unconfirmed", "sent"],
        "late": ["expired"],
        "another-epoch": ["refused"],
        "retained": ["refused"],
        "says-a-state": ["refused"],
        "a-device": ["refused"],
        "mock": ["refused"],
        "replay": ["refused"],
    }
    async with world.client() as client:

        async def is_empty() -> bool:  # a receipt comes before its command is acknowledged
            return bool((await client.jetstream().stream_info("OUTBOX")).state.messages == 0)

        await until(is_empty, "no command is left")
    own = [each for each in await read(world, "TOPICS", "topic.live.>") if each.headers["Kaiser-Own"] == "1"]
    assert [each.data for each in own] == [b"one", b"two"]
    await module.close()


async def test_a_command_waits_for_the_broker_and_is_not_sent_late(
    world_at: Callable[[Any], Any], mosquitto_factory: Callable[[], Any], until: Callable[..., Any]
) -> None:
    broker = mosquitto_factory()
    world = world_at(broker)
    ingest = world.ingest(KAISER_MQTT_DIALECTS='["factory"]')
    await until(ingest.ready)
    device = await world.device()
    state = json.dumps({"serialNumber": "SVRX1", "actionState": None}).encode()
    await device.publish(0, "module/v1/ff/SVRX1/state", state, retain=True)
    await device.all_acknowledged()

    async def verdicts() -> list[str]:
        found = await read(world, "TOPICS", "topic.live.module.v1.ff.SVRX1.state")
        return [each.headers["Kaiser-Verdict"] for each in found]

    async def is_read() -> bool:
        return bool(await verdicts())

    await until(is_read)
    await device.close()
    broker.stop()
    await until(lambda: not ingest.connected())
    async with world.client() as client:
        lane = "mqtt.factory.command.SVR3QA2098"
        await client.jetstream().publish(lane, outgoing("late", age_ms=8_000))

        async def said() -> list[str]:
            found = await read(world, "FACTORY", "factory.live.sent.late")
            return [json.loads(each.data)["outcome"] for each in found]

        await until(said)
        assert await said() == ["expired"]
        broker.start()
        await until(ingest.connected)

        async def is_repeated() -> bool:
            return len(await verdicts()) == 2

        await until(is_repeated)
        assert await verdicts() == ["module.state", "retained_same"]
        module = await world.device()
        await module.subscribe("#")
        await client.jetstream().publish(lane, outgoing("fresh"))
    await until(lambda: b"fresh" in [payload for _, payload in module.heard])
    assert b"late" not in [payload for _, payload in module.heard]
    await module.close()


MOCK_PROFILE = '{"mock": {"host": "127.0.0.1", "port": %d}}'


async def test_what_waited_while_ingest_was_away_is_published_once_it_is_connected(
    world: Any, until: Callable[..., Any]
) -> None:
    module = await world.device()
    await module.subscribe("#")
    async with world.client() as client:
        await client.jetstream().publish("mqtt.factory.mock.SVR3QA2098", outgoing("early", env="mock"))
        ingest = world.ingest(
            KAISER_MQTT_DIALECTS='["factory"]',
            KAISER_MQTT_PROFILES=MOCK_PROFILE % world.broker.port,
            KAISER_MQTT_PROFILE="mock",
        )
        await until(ingest.ready)

        async def outbox_is_empty() -> bool:
            return (await client.jetstream().stream_info("OUTBOX")).state.messages == 0

        await until(outbox_is_empty)
    await until(lambda: [payload for topic, payload in module.heard if topic == ORDER] == [b"early"])
    await module.close()


async def test_what_waits_for_one_broker_does_not_go_to_the_one_that_is_switched_to(
    world: Any, free_port: Callable[[], int], until: Callable[..., Any]
) -> None:
    module = await world.device()
    await module.subscribe("#")
    ingest = world.ingest(
        KAISER_MQTT_DIALECTS='["factory"]',
        KAISER_MQTT_PROFILES=MOCK_PROFILE % free_port(),
        KAISER_MQTT_PROFILE="mock",
    )
    await until(lambda: "mqtt_unreachable" in ingest.log())
    async with world.client() as client:
        await client.jetstream().publish("mqtt.factory.mock.SVR3QA2098", outgoing("for-the-mock", env="mock"))

        async def is_held() -> bool:
            return (await client.jetstream().consumer_info("OUTBOX", "ingest-factory")).num_ack_pending == 1

        await until(is_held)
        request = SwitchProfile(profile="live")
        async with connect(world.bus, "test") as bus:
            await call(bus, "ingest-factory", "switch_profile", request, MqttProfiles, caller=ADMIN, timeout_s=60.0)

        async def is_rejected() -> bool:
            return [body["topic"] for _, body in await world.stored("REJECTED")] == [ORDER]

        await until(is_rejected)
    assert [payload for topic, payload in module.heard if topic == ORDER] == []
    await module.close()


async def test_a_message_that_the_broker_hangs_up_on_holds_nothing_else(world: Any, until: Callable[..., Any]) -> None:
    module = await world.device()
    await module.subscribe("#")
    ingest = world.ingest(
        KAISER_MQTT_DIALECTS='["factory"]',
        KAISER_MQTT_PROFILES=MOCK_PROFILE % world.broker.port,
        KAISER_MQTT_PROFILE="mock",
    )
    await until(ingest.ready)
    lane = "mqtt.factory.mock.SVR3QA2098"
    hung_up_on = "module/v1/ff/\x01/state"
    async with world.client() as client:
        jetstream = client.jetstream()
        await jetstream.publish(lane, outgoing("poison", env="mock", topic=hung_up_on, replay_id="r1"))
        await jetstream.publish(lane, b"{")
        await jetstream.publish(lane, outgoing("next", env="mock"))
        await until(lambda: b"next" in [payload for _, payload in module.heard], within_s=120.0)
    rejected = [(subject, body) for subject, body in await world.stored("REJECTED") if "serial" not in body]
    assert [(body["topic"], body["code"]) for _, body in rejected] == [(hung_up_on, 5105), ("", 5103)]
    assert [subject for subject, _ in rejected] == ["rejected.5105.replay-r1", "rejected.5103._"]
    assert ingest.log().count('"event": "factory_message_rejected"') == 2
    await module.close()
