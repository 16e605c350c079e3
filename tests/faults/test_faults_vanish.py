"""Each stream, durable consumer and KV bucket is deleted while everything runs, and declared again: its owner goes on.

What is asserted is what people see: a reading is stored and shown, a bad one is listed as rejected, a stop and a
command reach the pump, a mock device speaks, a rule fires and is noted, a machine of the factory is shown, its message
is kept and recorded, and a command reaches it. No process is restarted. Each with Mosquitto and with NATS as broker.
"""

import asyncio
import json
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import httpx
import nats
import pytest
from firmware_a import FirmwareA
from freezing import PUMP, set_up
from harness import Message, Stack, reading, wait_until
from kaiser_common.bus import declare
from kaiser_common.bus.connection import connect
from kaiser_common.contract.schemas.event import OutboxMessage
from kaiser_common.contract.subjects import BUCKETS, CONSUMERS, INGEST_BUCKET, OUTBOX, STREAMS, urgent_subject
from kaiser_common.runtime.settings import CommonSettings
from kaiser_stack import mosquitto
from machine import MACHINE, Machine, pick
from mocks import Mocks
from nats.js.errors import NoKeysError
from websockets.sync.client import connect as connect_socket

OBJECTS = (
    *(stream.name for stream in STREAMS),
    *(f"{consumer.stream}/{consumer.name}" for consumer in CONSUMERS),
    *(f"KV_{bucket.name}" for bucket in BUCKETS),
)
PROBE = 34
BACK_WITHIN_S = 120.0


@dataclass(slots=True)
class Site:
    """A device with a pump, a probe whose readings a rule watches, a mock, and a machine of a factory; what people see
    of them."""

    stack: Stack
    rest: httpx.Client
    device: FirmwareA
    esp_id: str
    mock: str
    rule: str
    machine: Machine

    def seen(self) -> dict[str, Callable[[], bool]]:
        """The conditions that must hold again, by name; each is asked until it is true."""
        return {
            "a reading is stored": self.a_reading_is_stored,
            "a reading is shown": self.a_reading_is_shown,
            "a bad message is listed": self.a_bad_message_is_listed,
            "a stop holds and ends": self.a_stop_holds_and_ends,
            "a mock speaks": self.a_mock_speaks,
            "a rule fires and is noted": self.a_rule_fires,
            "a machine is shown": self.a_machine_is_shown,
            "its message is kept and recorded": self.a_message_is_kept_and_recorded,
            "a command reaches the machine": self.a_command_reaches_the_machine,
            "everything is ready": self.everything_is_ready,
        }

    def a_reading_is_stored(self) -> bool:
        before = self.stack.rows([self.esp_id])
        self.stack.publish([reading(self.esp_id, 4, int(time.time() * 1000), 20.0)])
        return soon(lambda: self.stack.rows([self.esp_id]) > before)

    def a_reading_is_shown(self) -> bool:
        token = self.rest.headers["Authorization"].removeprefix("Bearer ")
        address = self.stack.addresses["http_url"].replace("http", "ws", 1)
        with connect_socket(f"{address}/api/v1/ws/realtime/{secrets.token_hex(4)}?token={token}") as socket:
            socket.send(json.dumps({"action": "subscribe", "filters": {"esp_ids": [self.esp_id]}}))
            self.stack.publish([reading(self.esp_id, 4, int(time.time() * 1000), 21.0)])
            until = time.monotonic() + 3.0
            while (left := until - time.monotonic()) > 0:
                try:
                    frame = json.loads(socket.recv(left))
                except TimeoutError:
                    return False
                if frame["type"] == "sensor_data" and frame["data"]["value"] == 21.0:
                    return True
        return False

    def a_bad_message_is_listed(self) -> bool:
        marked = secrets.token_hex(4)
        self.stack.publish([Message(self.device.board.topic("sensor/4/data"), marked.encode())])
        return soon(lambda: marked in self.rest.get("/api/v1/rejected").text)

    def a_stop_holds_and_ends(self) -> bool:
        """The pump runs, is stopped, takes no command, and runs after the clear."""
        path, pump = f"/api/v1/actuators/{self.esp_id}/{PUMP}/command", self.device.board.flash.actuators[PUMP]
        target = {"esp_id": self.esp_id, "gpio": PUMP}
        self.rest.post("/api/v1/actuators/clear_emergency", json=target)
        if not (self.rest.post(path, json={"command": "ON"}).status_code == 202 and soon(lambda: pump.on)):
            return False
        stopped = self.rest.post("/api/v1/actuators/emergency_stop", json=target)
        if not (stopped.status_code == 200 and soon(lambda: not pump.on)):
            return False
        refused = self.rest.post(path, json={"command": "ON"}).status_code
        if refused == 404:  # the bucket of devices was read anew just now, before health had filled it
            return False
        assert refused == 423, "a stop is answered and not in force"
        if self.rest.post("/api/v1/actuators/clear_emergency", json=target).status_code != 200:
            return False
        command = self.rest.post(path, json={"command": "ON"})
        return command.status_code == 202 and soon(lambda: self._is_acknowledged(command.json()["command_id"]))

    def _is_acknowledged(self, command_id: str) -> bool:
        answer = self.rest.get(f"/api/v1/commands/{command_id}")
        return answer.is_success and answer.json()["state"] == "acknowledged"

    def a_mock_speaks(self) -> bool:
        before = self.stack.rows([self.mock])
        return soon(lambda: self.stack.rows([self.mock]) > before)

    def a_rule_fires(self) -> bool:
        before = self._executions()
        now_ms = int(time.time() * 1000)
        for ts, value in ((now_ms, 1.0), (now_ms + 1, 60.0)):
            measured = {"sensor_type": "soil_moisture", "raw": 1, "raw_mode": False, "value": value, "quality": "good"}
            body = {"ts": ts, "esp_id": self.esp_id, "gpio": PROBE, **measured}
            self.stack.publish([Message(self.device.board.topic(f"sensor/{PROBE}/data"), json.dumps(body).encode())])
        return soon(lambda: self._executions() - before != set())

    def _executions(self) -> set[str]:
        answer = self.rest.get("/api/v1/logic/executions", params={"rule_id": self.rule, "limit": 100})
        return {json.dumps(each, sort_keys=True) for each in answer.json()["items"]} if answer.is_success else set()

    def a_machine_is_shown(self) -> bool:
        order = self._say_state()
        path = f"/api/v1/factory/modules/{MACHINE}"
        return soon(lambda: self.rest.get(path).json().get("order_id") == order)

    def a_message_is_kept_and_recorded(self) -> bool:
        """In the message centre, and in a recording that was begun before."""
        filters = [f"module/v1/ff/{MACHINE}/#"]
        begun = self.rest.post("/api/v1/recordings", json={"name": "vanish", "filters": filters})
        if begun.status_code != 201:
            return False
        recording = f"/api/v1/recordings/{begun.json()['recording_id']}"
        try:
            order = self._say_state()
            kept = soon(lambda: order in self.rest.get("/api/v1/messages", params={"search": order}).text)
            return self.rest.post(f"{recording}/stop").is_success and kept and order in self._exported(recording)
        finally:
            self.rest.post(f"{recording}/stop")
            self.rest.delete(recording)

    def _exported(self, recording: str) -> str:
        answer = self.rest.get(f"{recording}/export")
        return answer.text if answer.is_success else ""

    def a_command_reaches_the_machine(self) -> bool:
        before = self.machine.orders.total()
        return pick(self.rest) is not None and soon(lambda: self.machine.orders.total() > before)

    def _say_state(self) -> str:
        """A state of the machine with an order of its own."""
        order = secrets.token_hex(8)
        state = {"serialNumber": MACHINE, "actionState": None, "orderId": order}
        self.machine.say(f"module/v1/ff/{MACHINE}/state", state)
        return order

    def everything_is_ready(self) -> bool:
        answer = self.rest.get("/api/v1/system/status")
        return answer.is_success and all(each["ready"] for each in answer.json()["services"])


def soon(condition: Callable[[], bool]) -> bool:
    """Whether it comes to be within some seconds; then something may have been lost, and the whole is tried again."""
    until = time.monotonic() + 5.0
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.1)
    return True


@pytest.fixture(scope="module", params=["mosquitto", "nats"])
def site(request: pytest.FixtureRequest, server_folder, missing) -> Iterator[Site]:
    """A stack of this module's own: what is deleted is everybody's."""
    if request.param == "mosquitto" and not mosquitto.is_installed():
        missing("mosquitto", "mosquitto is not installed")
    settings = {
        "KAISER_COMMANDS_PER_MINUTE": "100000",
        "KAISER_REQUEST_PER_SECOND": "1000",
        "KAISER_TOKEN_MINUTES": "600",
        "KAISER_MQTT_BROKER": request.param,
        "KAISER_MQTT_DIALECTS": '["esp", "factory"]',
    }
    stack = Stack(server_folder / f"vanish-{secrets.token_hex(3)}", **settings)
    try:
        stack.start()
        mocks = Mocks(stack)
        mock = mocks.make(sensors=[{"gpio": 4, "sensor_type": "DS18B20", "interval_s": 1}])
        address = stack.addresses["mqtt_host"], stack.addresses["mqtt_port"]
        with FirmwareA(address, f"ESP_{secrets.token_hex(4).upper()}", interval_s=0.5) as device:
            set_up(stack, mocks.rest, device)
            esp_id = device.board.esp_id
            condition = {"type": "sensor", "esp_id": esp_id, "gpio": PROBE, "sensor_type": "soil_moisture"}
            rule = {
                "name": "vanish",
                "conditions": [{**condition, "operator": ">", "value": 50}],
                "actions": [{"type": "notification", "message": "high"}],
                "cooldown_s": 0,
            }
            answer = mocks.rest.post("/api/v1/logic/rules", json=rule)
            assert answer.status_code == 201, answer.text
            machine = Machine(stack)
            try:
                yield Site(stack, mocks.rest, device, esp_id, mock, answer.json()["rule_id"], machine)
            finally:
                machine.end()
    finally:
        if stack.is_running:
            stack.stop()


async def vanish(stack: Stack, name: str) -> None:
    """Delete it, give its owner a moment without it, and declare everything as migrate does."""
    client = await nats.connect(stack.addresses["nats_url"])
    try:
        stream, _, consumer = name.partition("/")
        if consumer:
            await client.jetstream().delete_consumer(stream, consumer)
        else:
            await client.jetstream().delete_stream(stream)
        await asyncio.sleep(0.5)
    finally:
        await client.close()
    async with connect(CommonSettings(nats_url=stack.addresses["nats_url"]), "migrate") as bus:
        await declare.apply(bus)


@pytest.mark.in_short_form(site={"mosquitto"})
@pytest.mark.in_short_form(site={"nats"}, name={"OUTBOX", "TOPICS", "FACTORY/factory-store", "KV_ingest"})
@pytest.mark.parametrize("name", OBJECTS)
def test_whatever_of_the_bus_vanishes_its_owner_goes_on_once_it_is_declared_again(site: Site, name: str):
    pids = site.stack.pids()
    asyncio.run(vanish(site.stack, name))
    for what, is_seen in site.seen().items():
        wait_until(is_seen, f"after {name} was deleted and declared again, {what}", BACK_WITHIN_S)
    assert site.stack.pids() == pids, "a process ended"


@pytest.mark.in_short_form(site={"mosquitto"})
def test_an_ingest_that_starts_again_after_its_bucket_vanished_has_its_profile_and_knows_the_stops(site: Site):
    stack, rest = site.stack, site.rest
    emergencies = site.device.board.topic("actuator/emergency")

    def heard() -> list[str]:
        return [each.body["command"] for each in list(site.device.board.heard) if each.topic == emergencies]

    def switch(profile: str) -> None:
        answer = rest.post("/api/v1/system/mqtt/profile", json={"profile": profile}, timeout=60.0)
        assert answer.is_success, answer.text

    before = len(heard())
    answer = rest.post("/api/v1/actuators/emergency_stop", json={"esp_id": site.esp_id})
    assert answer.status_code == 200, answer.text
    wait_until(lambda: "emergency_stop" in heard()[before:], "the device is stopped")
    switch("mock")
    asyncio.run(vanish(stack, "KV_ingest"))
    wait_until(lambda: asyncio.run(keys(stack)) >= {"profile", "stops", "environment"}, "the bucket is filled")
    pid = stack.pid("ingest")
    stack.kill("ingest")
    wait_until(lambda: stack.pid("ingest") != pid, "ingest is started again")

    def active() -> bool:
        status = rest.get("/api/v1/system/mqtt/profile")
        return status.is_success and status.json()["active"] == "mock"

    wait_until(active, "the profile that was switched to is active")
    wait_until(site.everything_is_ready, "everything is ready")
    switch("live")
    before = len(heard())
    asyncio.run(send_old_clear(stack, emergencies, site.esp_id))
    assert "clear_emergency" not in heard()[before:], "a clear that is older than the stop was sent"
    wait_until(
        lambda: rest.post("/api/v1/actuators/clear_emergency", json={"esp_id": site.esp_id}).status_code == 200,
        "the stop ends",
    )
    wait_until(site.a_stop_holds_and_ends, "a stop holds and ends")


async def keys(stack: Stack) -> set[str]:
    """The keys of ingest's bucket."""
    client = await nats.connect(stack.addresses["nats_url"])
    try:
        return {*await (await client.jetstream().key_value(INGEST_BUCKET.name)).keys()}
    except NoKeysError:
        return set()
    finally:
        await client.close()


async def send_old_clear(stack: Stack, topic: str, esp_id: str) -> None:
    """A clear with a number below that of every stop; wait until ingest has acknowledged it."""
    client = await nats.connect(stack.addresses["nats_url"])
    try:
        jetstream = client.jetstream()
        message = OutboxMessage(topic=topic, payload='{"command":"clear_emergency"}', number=0, clears=True)
        subject = urgent_subject(topic.split("/")[1], esp_id)
        await jetstream.publish(subject, message.model_dump_json().encode())
        until = time.monotonic() + 120.0
        while (await jetstream.stream_info(OUTBOX.name, subjects_filter=subject)).state.subjects:
            assert time.monotonic() < until, "ingest has not taken the clear"
            await asyncio.sleep(0.2)
    finally:
        await client.close()
