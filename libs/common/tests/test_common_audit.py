"""Changes that people ask for are recorded on AUDIT, on a real NATS server; what stands in a record, pure."""

import json
from typing import Any

import pytest
from kaiser_common.bus.connection import Bus, connect
from kaiser_common.bus.declare import apply
from kaiser_common.bus.rpc import Caller, RpcError, call
from kaiser_common.contract.methods.whole import METHODS
from kaiser_common.contract.rpc import Audited, Nothing, RpcMethod
from kaiser_common.contract.schemas.api.actuators import ActuatorKey, EmergencyStop
from kaiser_common.contract.schemas.api.alarms import LimitsBody, LimitsKey, PutLimits, SensorLimits
from kaiser_common.contract.schemas.api.logic import Rule, RuleId
from kaiser_common.contract.schemas.api.notifications import Channel, ChannelBody, Channels, PutChannel
from kaiser_common.contract.schemas.api.sensors import ConfigsPage, ConfigsQuery, SensorConfig
from kaiser_common.runtime.audit import bounded, request_to_read, shown, target_of
from kaiser_common.runtime.broker import Broker
from kaiser_common.runtime.service import Service
from kaiser_common.runtime.settings import CommonSettings
from kaiser_common.runtime.wiring import register
from pydantic import BaseModel

ADA = Caller(user="ada", role="operator", request_id="r1", address="192.0.2.7")
RULE = Caller(user="rule:water", role="operator")


class Key(BaseModel):
    name: str


class Put(Key):
    value: int


class Lamp(BaseModel):
    name: str
    value: int


class Urgent(BaseModel):
    why: str = ""


class Lamps:
    """A service that keeps lamps; `seen` is how many records were on AUDIT when it changed one."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.kept: dict[str, int] = {}
        self.seen: list[int] = []

    async def read(self, request: Key, caller: Caller) -> Lamp:
        """A lamp."""
        if request.name not in self.kept:
            raise RpcError(404, 5001, f"no lamp {request.name}")
        return Lamp(name=request.name, value=self.kept[request.name])

    async def put(self, request: Put, caller: Caller) -> Lamp:
        """Set a lamp."""
        self.seen.append(len(await records(self.bus)))
        if request.value == 13:
            raise RpcError(409, 5208, "13 is taken")
        self.kept[request.name] = request.value
        return Lamp(name=request.name, value=request.value)

    async def delete(self, request: Key, caller: Caller) -> Nothing:
        """Remove a lamp."""
        del self.kept[request.name]
        return Nothing()

    async def stop(self, request: Urgent, caller: Caller) -> Nothing:
        """Switch all off."""
        self.kept = dict.fromkeys(self.kept, 0)
        return Nothing()


ROWS = (
    RpcMethod("lamps", "read", Key, Lamp),
    RpcMethod("lamps", "put", Put, Lamp, audited=Audited("set_lamp", ("name",), before="read")),
    RpcMethod("lamps", "delete", Key, Nothing, audited=Audited("delete_lamp", ("name",), before="read")),
    RpcMethod("lamps", "stop", Urgent, Nothing, audited=Audited("stop", urgent=True)),
)


async def records(bus: Bus) -> list[dict[str, Any]]:
    """Everything on AUDIT, oldest first."""
    state = (await bus.jetstream.stream_info("AUDIT")).state
    numbers = range(state.first_seq, state.last_seq + 1) if state.messages else ()
    return [json.loads((await bus.jetstream.get_msg("AUDIT", seq=number)).data) for number in numbers]


@pytest.fixture
async def lamps(bus_settings):
    async with connect(CommonSettings(nats_url=bus_settings.nats_address), "lamps") as bus:
        await apply(bus)
        await bus.jetstream.purge_stream("AUDIT")
        lamps = Lamps(bus)
        broker = Broker(bus, Service("lamps"), CommonSettings())
        functions = {"read": lamps.read, "put": lamps.put, "delete": lamps.delete, "stop": lamps.stop}
        register(broker.rpc(), ROWS, functions)
        async with broker.serving():
            yield lamps


async def test_a_change_is_recorded_before_it_is_done_and_with_its_end(lamps):
    lamps.kept = {"a": 1}
    await call(lamps.bus, "lamps", "put", Put(name="a", value=2), Lamp, caller=ADA)
    begun, done = await records(lamps.bus)
    assert lamps.seen == [1]
    shared = {"service": "lamps", "action": "set_lamp", "target": "a", "actor": "ada", "address": "192.0.2.7"}
    assert {**begun, **shared, "outcome": "begun", "before": {"name": "a", "value": 1}} == begun
    assert done == {**begun, "outcome": "done", "after": {"name": "a", "value": 2}}
    await call(lamps.bus, "lamps", "delete", Key(name="a"), Nothing, caller=ADA)
    assert (await records(lamps.bus))[-1].keys() & {"before", "after"} == {"before"}


async def test_a_refused_change_says_why_and_what_a_service_does_is_not_recorded(lamps):
    with pytest.raises(RpcError):
        await call(lamps.bus, "lamps", "put", Put(name="a", value=13), Lamp, caller=ADA)
    _, refused = await records(lamps.bus)
    assert (refused["outcome"], refused["detail"], "before" in refused) == ("refused", "13 is taken (5208)", False)
    await call(lamps.bus, "lamps", "put", Put(name="a", value=1), Lamp, caller=RULE)
    await call(lamps.bus, "lamps", "read", Key(name="a"), Lamp, caller=ADA)
    assert len(await records(lamps.bus)) == 2


async def test_without_a_record_nothing_is_changed_but_by_a_stop(lamps):
    lamps.kept = {"a": 1}
    await lamps.bus.jetstream.delete_stream("AUDIT")
    with pytest.raises(RpcError) as refused:
        await call(lamps.bus, "lamps", "put", Put(name="a", value=2), Lamp, caller=ADA, timeout_s=30)
    assert (refused.value.problem.status, lamps.kept) == (503, {"a": 1})
    await call(lamps.bus, "lamps", "stop", Urgent(), Nothing, caller=ADA, timeout_s=30)
    assert lamps.kept == {"a": 0}


LIMITS = LimitsKey(esp_id="ESP_A", gpio=4, sensor_type="ds18b20", address="")
CONFIGS = ConfigsPage(
    items=[
        SensorConfig(esp_id="ESP_A", gpio=4, sensor_type="ds18b20", address="28ff000000000001", name="other"),
        SensorConfig(esp_id="ESP_A", gpio=4, sensor_type="ds18b20", name="bed"),
    ]
)


def change_of(service: str, method: str) -> Audited:
    (change,) = (row.audited for row in METHODS if (row.service, row.name) == (service, method))
    assert change is not None
    return change


def test_a_target_is_named_by_the_fields_of_its_key():
    put = PutLimits(sensor=LIMITS, limits=LimitsBody(hi=30))
    assert target_of(change_of("alarm", "put_limits"), put) == "ESP_A/4/ds18b20"
    assert target_of(change_of("actuator", "emergency_stop"), EmergencyStop()) == "all"
    assert target_of(change_of("actuator", "emergency_stop"), EmergencyStop(esp_id="ESP_A", gpio=4)) == "ESP_A/4"
    created = Rule.model_construct(rule_id="r1", name="x", conditions=[], actions=[], created_at=1, updated_at=1)
    assert target_of(change_of("logic", "create"), Nothing(), created) == "r1"


def test_before_and_after_are_of_what_is_changed_alone():
    put = PutLimits(sensor=LIMITS, limits=LimitsBody(hi=30))
    limits = SensorLimits(sensor=LIMITS, limits=LimitsBody(hi=20), changed_at=1, changed_by="ada")
    assert shown(change_of("alarm", "put_limits"), put, limits) == {"hi": 20.0, "hysteresis": 0.0, "delay_s": 0}
    config = SensorConfig(esp_id="ESP_A", gpio=4, sensor_type="ds18b20", interval_s=5)
    set_sensor = change_of("sensor", "put_config")
    assert request_to_read(ConfigsQuery, config) == ConfigsQuery(esp_id="ESP_A", limit=1000)
    before, after = shown(set_sensor, config, CONFIGS), shown(set_sensor, config, config)
    assert before is not None
    assert after is not None
    assert (before["name"], before["interval_s"], after["interval_s"]) == ("bed", 30, 5)
    assert request_to_read(RuleId, RuleId(rule_id="r1")) == RuleId(rule_id="r1")
    assert request_to_read(ActuatorKey, ActuatorKey(esp_id="ESP_A", gpio=4)).model_dump()["gpio"] == 4


def test_the_secret_url_of_a_channel_is_in_no_record():
    put = PutChannel(channel_id="ops", channel=ChannelBody(name="Ops", url="ntfy://secret@example.com/ops"))
    stored = Channel(channel_id="ops", name="Ops", kind="ntfy", enabled=True, changed_at=1, changed_by="ada")
    change = change_of("alarm", "put_channel")
    texts = [
        target_of(change, put, stored),
        shown(change, put, stored),
        shown(change, put, Channels(channels=[stored])),
    ]
    assert "secret" not in str(texts)
    assert texts[1] == texts[2]


def test_what_is_too_large_is_recorded_by_its_size():
    assert bounded({"a": "x" * 40_000}) == {"omitted": "40009 characters"}
    assert bounded({"a": 1}) == {"a": 1}
