"""Messages of a mock pass the validator, and the vectors, that real devices' messages must pass."""

import json
from collections.abc import Iterator

import pytest
from harness import ROOT
from hypothesis import given
from hypothesis import strategies as st
from kaiser_common.contract.schemas.api.mock import Faults, Firmware, MockActuator, MockSensor
from kaiser_common.contract.topics import Kind, is_downlink, parse
from kaiser_ingest.domain.validate import Accepted, Rejection, validate
from kaiser_simulator.domain import lifecycle, payloads
from kaiser_simulator.domain.actuators import Reaction, on_auto_off, on_protection
from kaiser_simulator.domain.device import Life, MockDevice, Publication, Setup
from kaiser_simulator.domain.emergencies import pressed, released
from kaiser_simulator.domain.reactions import react
from kaiser_simulator.domain.readings import garbage, make_meter
from kaiser_simulator.patterns import installed_patterns

NOW = 1_767_225_600_123
FACTORIES = installed_patterns()
SENSOR = MockSensor(gpio=4, sensor_type="DS18B20", base_value=22.5, unit="°C")
VECTORS = json.loads((ROOT / "tests/golden/device-messages.json").read_text())
UNSAID = {
    Kind.SENSOR_BATCH,
    Kind.DISCOVERY,
    Kind.HEARTBEAT_METRICS,
    Kind.LIFECYCLE,
    Kind.QUEUE_PRESSURE,
    Kind.DIAGNOSTICS,
}
"""Kinds that mocks do not send: batches are a dialect of their own, discovery is deprecated, the rest are figures."""


def device(sensor: MockSensor = SENSOR, firmware: Firmware = "a", **life) -> MockDevice:
    setup = Setup(
        esp_id="MOCK_001",
        kaiser_id="god",
        firmware=firmware,
        firmware_version="mock-1.0",
        heartbeat_interval_s=60,
        sensors=[sensor],
        actuators=[MockActuator(gpio=5, actuator_type="pump", max_runtime_s=60)],
    )
    running = {"running": True, "registered": True, "state": "OPERATIONAL", "booted_at": NOW - 60_000}
    return MockDevice(setup=setup, life=Life(**{**running, **life}))


def reading(of: MockDevice, at_ms: int = NOW) -> Publication:
    [sensor] = of.setup.sensors
    return make_meter(FACTORIES, of, sensor).reading_now(of, at_ms)


def everything_said(firmware: Firmware) -> Iterator[Publication]:
    """A life with all that can happen in it."""
    mock = device(firmware=firmware)
    now = NOW

    def after(reaction) -> Iterator[Publication]:
        nonlocal mock
        mock = reaction.device
        yield from reaction.publications

    def told(topic: str, **body) -> Iterator[Publication]:
        full = topic if topic.startswith("kaiser/") else f"kaiser/god/esp/MOCK_001/{topic}"
        yield from after(react(mock, parse(full), json.dumps(body), now, lambda of, _, at_ms: reading(of, at_ms)))

    yield reading(mock)
    yield payloads.heartbeat(mock, NOW)
    yield from payloads.hello(mock, NOW)
    yield from told("config", config_id="k0", correlation_id="k0", sensors=[])
    yield from told("system/heartbeat/ack", status="online", handover_epoch=1)
    ids = (f"c{number}" for number in range(100))
    for command in ("ON", "OFF", "PWM", "TOGGLE"):
        yield from told(
            "actuator/5/command", command=command, value=0.5, duration=30, timestamp=1, correlation_id=next(ids)
        )
    yield from told("actuator/9/command", command="ON", timestamp=1, correlation_id=next(ids))
    yield from told("actuator/5/command", command="ON", duration=1, timestamp=1, correlation_id=next(ids))
    yield from after(on_auto_off(mock, 5, NOW + 1000))
    yield from told("actuator/5/command", command="ON", timestamp=1, correlation_id=next(ids))
    yield from after(on_protection(mock, 5, NOW + 60_000))
    yield from told("actuator/emergency", command="emergency_stop", auth_token="wrong")
    yield from told("actuator/emergency", command="stop", auth_token="MOCK_001")
    yield from told("actuator/emergency", command="emergency_stop", auth_token="MOCK_001", reason="leak")
    yield from told("actuator/5/command", command="ON", timestamp=1, correlation_id=next(ids))
    yield from told("kaiser/broadcast/emergency", command="emergency_stop", reason="fire", issued_by="ada")
    yield from told("actuator/emergency", command="clear_emergency", auth_token="MOCK_001")
    now += 5000
    yield from told("actuator/emergency", command="clear_emergency", auth_token="MOCK_001")
    now = NOW
    yield from after(pressed(mock, "leak", NOW))
    yield from after(released(mock, NOW))
    yield from told("sensor/4/command", command="measure", request_id="r1")
    yield from told("sensor/6/command", command="measure", request_id="r2")
    good, bad = ({"gpio": gpio, "sensor_type": "ph", "sensor_name": "pH"} for gpio in (34, 5))
    valve = {"gpio": 6, "actuator_type": "valve", "actuator_name": "Valve"}
    for number, sensors in enumerate(([good], [bad, good], [bad], [])):
        yield from told("config", config_id="k", correlation_id=f"k{number}", sensors=sensors, actuators=[valve, {}])
    yield from told("config", config_id="k", sensors=[good], actuators=[valve])
    yield from after(Reaction(mock.set_up(sensors=[SENSOR])))
    for zone_id in ("north", ""):
        yield from told("zone/assign", zone_id=zone_id, kaiser_id="god", timestamp=1, correlation_id=next(ids))
    for verb in ("assign", "remove", "safe"):
        yield from told(f"subzone/{verb}", subzone_id="bed", assigned_gpios=[5], correlation_id=next(ids))
    for command in ("diagnostics", "safe_mode", "exit_safe_mode", "onewire/scan", "set_log_level"):
        yield from told("system/command", command=command, correlation_id=next(ids))
    yield from told("system/command", command="fly", correlation_id=next(ids))
    yield from after(lifecycle.with_state(mock, "ERROR", "bus dead", NOW))
    yield payloads.heartbeat(mock, NOW)
    yield from told("system/command", command="factory_reset", confirm=True, correlation_id=next(ids))


SAID_BY_A, SAID_BY_B = list(everything_said("a")), list(everything_said("b"))
SAID = SAID_BY_A + SAID_BY_B
EXAMPLES = {parse(each.topic).kind: each for each in reversed(SAID)}
"""The first message of each kind."""


def test_a_mock_says_every_kind_of_message_that_a_device_says():
    assert set(EXAMPLES) == {kind for kind in Kind if not is_downlink(kind)} - UNSAID


@pytest.mark.parametrize("said", SAID, ids=lambda said: said.topic.removeprefix("kaiser/god/esp/MOCK_001/"))
def test_everything_that_a_mock_says_is_taken_by_ingest(said: Publication):
    [outcome] = validate(said.topic, said.payload.encode(), NOW + 100)
    assert isinstance(outcome, Accepted), outcome


def test_generation_a_says_all_at_qos_0_and_b_only_its_heartbeats_and_the_broker_the_wills_at_qos_1():
    assert {parse(each.topic).kind for each in SAID_BY_A if each.qos == 1} == {Kind.WILL}
    assert {parse(each.topic).kind for each in SAID_BY_B if each.qos == 0} == {Kind.HEARTBEAT}


def test_only_wills_are_retained():
    assert {parse(each.topic).kind for each in SAID if each.retain} == {Kind.WILL}


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_where_a_device_is_taken_a_mock_is_and_where_one_is_rejected_a_mock_that_sends_the_same_is(vector):
    """Each vector as the mock MOCK_001 would send it: the ids in topic and payload are the mock's."""
    topic, payload = (vector[part].replace("ESP_0A1B2C3D", "MOCK_001") for part in ("topic", "payload"))
    outcomes = validate(topic, payload.encode(), NOW + 100)
    if vector["expect"] == "reject":
        assert {outcome.code for outcome in outcomes if isinstance(outcome, Rejection)} == {vector["code"]}
        return
    assert all(isinstance(outcome, Accepted) for outcome in outcomes), outcomes
    said = EXAMPLES.get(parse(topic).kind)
    if said is None:
        assert parse(topic).kind in UNSAID
        return
    [ours] = validate(said.topic, said.payload.encode(), NOW + 100)
    assert isinstance(ours, Accepted)
    assert isinstance(outcomes[0], Accepted)
    assert type(ours.message) is type(outcomes[0].message)


def test_the_contracts_example_of_a_mock_is_byte_for_byte_what_a_mock_sends():
    [vector] = [one for one in VECTORS if one["name"] == "sensor, milliseconds and raw_value"]
    said = reading(device(), 1_767_225_600_123)
    assert (said.topic, json.loads(said.payload)) == (vector["topic"], json.loads(vector["payload"]))


@pytest.mark.parametrize(("step", "code"), [(0, 5209), (1, 5205), (2, 5206), (3, 5211)])
def test_garbage_is_rejected_with_the_code_of_its_kind(step, code):
    said = reading(device())
    [outcome] = validate(said.topic, garbage(said.payload, step).encode(), NOW + 100)
    assert isinstance(outcome, Rejection)
    assert outcome.code == code


@given(
    base=st.floats(-1e6, 1e6),
    width=st.floats(0, 1e5),
    pattern=st.sampled_from(["CONSTANT", "RANDOM", "DRIFT", "SINE"]),
    raw_mode=st.booleans(),
    unit=st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=16),
    at_ms=st.integers(NOW - 10**9, NOW),
)
def test_whatever_a_sensor_measures_is_taken_with_raw_as_the_value_times_100(
    base, width, pattern, raw_mode, unit, at_ms
):
    sensor = MockSensor(
        gpio=4, sensor_type="t", base_value=base, variation_pattern=pattern, variation_range=width, unit=unit,
        raw_mode=raw_mode,
    )  # fmt: skip
    said = reading(device(sensor), at_ms)
    [outcome] = validate(said.topic, said.payload.encode(), NOW + 100)
    assert isinstance(outcome, Accepted), outcome
    body = json.loads(said.payload)
    assert type(body["raw"]) is int
    assert body["raw"] == round(body["raw_value"] * 100)
    assert (body["ts"], body["raw_mode"], body["value"]) == (at_ms, raw_mode, body["raw_value"])


@pytest.mark.parametrize(
    ("faults", "clock", "offset_ms"),
    [(Faults(no_clock=True), "server", 100), (Faults(clock_offset_s=-3600), "device", -3_600_000)],
)
def test_a_wrong_clock_is_taken_as_a_devices_is(faults, clock, offset_ms):
    said = reading(device(faults=faults))
    [outcome] = validate(said.topic, said.payload.encode(), NOW + 100)
    assert isinstance(outcome, Accepted)
    assert (outcome.message.clock, outcome.message.ts) == (clock, NOW + offset_ms)
