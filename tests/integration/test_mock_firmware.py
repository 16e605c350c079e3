"""A mock does what the firmware of its generation does: the same downlinks into the emulation and into the mock.

The emulation (firmware_a.py, firmware_b.py) imports nothing of Kaiser and is held to recorded messages by
test_firmware_clients.py. Compared are the actuators, the zone, the gate, and what each of the two says, topic by topic.
"""

import json
from typing import Any

import pytest
from firmware_a import FirmwareA
from firmware_b import FirmwareB
from firmware_device import Actuator, Heard
from hypothesis import given
from hypothesis import strategies as st
from kaiser_common.contract.schemas.api.mock import MockActuator, MockSensor
from kaiser_common.contract.topics import parse
from kaiser_simulator.domain.device import Life, MockDevice, Publication, Setup
from kaiser_simulator.domain.firmware import may_say
from kaiser_simulator.domain.payloads import statuses
from kaiser_simulator.domain.reactions import react

ID = "MOCK_A"
NOW = 1_767_225_600_000
PUMPS = {25: "pump", 26: "valve"}
COMPARED = ("success", "status", "error", "error_code", "type", "count", "failed_count", "outcome", "code", "state",
            "alert_type", "zone_id", "subzone_id", "command", "correlation_id", "reason_code", "pwm", "emergency",
            "master_zone_id", "request_id", "message", "duration")  # fmt: skip
"""Fields of what is said that must be equal; times, counters and free figures are not."""


class Wire:
    """Takes what the emulation publishes, in place of an MQTT client."""

    def publish(self, *_: object) -> None:
        pass


class Twin:
    """The emulation and the mock of one generation, with the same actuators, at the same moments."""

    def __init__(self, generation: str, acknowledged: bool = True) -> None:
        self.generation = generation
        address = ("127.0.0.1", 1)
        self.real: Any = FirmwareA(address, ID) if generation == "a" else FirmwareB(address, ID, production=True)
        self.board = self.real.board
        self.board._client = Wire()
        for gpio, kind in PUMPS.items():
            self.board.flash.actuators[gpio] = Actuator(gpio, kind, kind)
        self.board.flash.token = ID
        setup = Setup(
            esp_id=ID,
            kaiser_id="god",
            firmware=generation,
            firmware_version="1",
            heartbeat_interval_s=60,
            actuators=[MockActuator(gpio=gpio, actuator_type=kind, name=kind) for gpio, kind in PUMPS.items()],
        )
        life = Life(running=True, registered=True, state="OPERATIONAL", booted_at=NOW - 60_000)
        self.mock = MockDevice(setup=setup, life=life)
        self.now = NOW
        if generation == "b" and acknowledged:
            self.hear("system/heartbeat/ack", json.dumps({"status": "online", "handover_epoch": 1}))

    def wait(self, seconds: float) -> None:
        """Time passes for both."""
        self.now += round(seconds * 1000)
        if self.board.stopped_at is not None:
            self.board.stopped_at -= seconds

    def hear(self, tail: str, payload: str) -> tuple[list[Any], list[Any]]:
        """The answers of the emulation and of the mock to a message: (topic, compared fields) in order."""
        topic = tail if tail.startswith("kaiser/") else f"kaiser/god/esp/{ID}/{tail}"
        already = len(self.board.said)
        if len(topic.encode()) + len(payload.encode()) <= self.real.packet_limit(topic):
            self.board._hear(Heard(topic, payload, 1, False))
        reaction = react(self.mock, parse(topic), payload, self.now, _measure)
        self.mock = reaction.device
        said = [each for each in reaction.publications if may_say(self.mock, parse(each.topic).kind)]
        is_ack = tail.endswith("/ack")
        return (
            [_compared(topic, text) for topic, text in self.board.said[already:]],
            [] if is_ack else [_compared(each.topic, each.payload) for each in said if _is_compared(each)],
        )

    def states(self) -> tuple[Any, Any]:
        """How both stand: each actuator's state and stop, the zone, and whether commands are let in."""
        actuators = self.board.flash.actuators
        is_b = self.generation == "b"
        return (
            (
                {gpio: (actuator.on, actuator.pwm, actuator.stopped) for gpio, actuator in actuators.items()},
                self.board.flash.zone.zone_id,
                self.board.flash.subzones,
                (self.real.registered, self.real.pending, self.real.active_epoch) if is_b else None,
            ),
            (
                {
                    actuator.gpio: (life.state, int(life.value * 255), life.emergency)
                    for actuator in self.mock.setup.actuators
                    for life in [self.mock.actuator_life(actuator.gpio)]
                },
                self.mock.life.zone_id or "",
                self.mock.life.subzones,
                (self.mock.life.acked, self.mock.life.pending, self.mock.life.active_epoch) if is_b else None,
            ),
        )


def _measure(device: MockDevice, sensor: MockSensor, now_ms: int) -> Publication:
    raise AssertionError("no twin has a sensor")


def _is_compared(said: Publication) -> bool:
    return not said.topic.endswith("/system/error")


def _compared(topic: str, payload: str) -> tuple[str, dict[str, Any]]:
    body = json.loads(payload)
    if topic.endswith("/heartbeat"):
        return topic, {}
    if topic.endswith("/status"):
        body["pwm"] = body.get("pwm", int(body.get("value", 0) * 255))
        return topic, {name: body[name] for name in ("state", "pwm", "emergency")}
    if topic.endswith("config_response"):
        body.pop("message", None)
    if not topic.endswith("zone/ack"):
        body.pop("zone_id", None)
    made = ("corr_", "fw_")
    if str(body.get("correlation_id", "")).startswith(made):
        body["correlation_id"] = "made"
    return topic, {name: body[name] for name in COMPARED if name in body}


def dumped(**body: Any) -> str:
    return json.dumps(body)


COMMANDS = [
    (f"actuator/{gpio}/command", dumped(command=command, value=1.0, duration=0, timestamp=1, issued_by="ada", **more))
    for gpio in (25, 26, 7)
    for command, more in [
        ("ON", {}),
        ("off", {}),
        ("TOGGLE", {}),
        ("FLY", {}),
        ("ON", {"value": 1.0}),
    ]
    for more in [{}]
] + [
    ("actuator/25/command", dumped(command="PWM", value=0.5)),
    ("actuator/25/command", dumped(command="PWM", value=0.0)),
    ("actuator/25/command", dumped(action="ON")),
    ("actuator/25/command", dumped(command="ON", correlation_id="x" * 600)),
]
EMERGENCIES = [
    ("actuator/emergency", dumped(command="emergency_stop", auth_token=ID, reason="leak", correlation_id="e1")),
    ("actuator/emergency", dumped(command="clear_emergency", auth_token=ID, reason="", correlation_id="e2")),
    ("actuator/emergency", dumped(command="emergency_stop", auth_token="wrong")),
    ("actuator/emergency", dumped(command="clear_emergency", auth_token="wrong")),
    ("actuator/emergency", dumped(command="emergency_stop")),
    ("actuator/emergency", dumped(action="emergency_stop", auth_token=ID)),
    ("actuator/emergency", dumped(command="stop_all", auth_token=ID)),
    ("actuator/emergency", dumped(command="emergency_stop", auth_token=ID, reason="r" * 260)),
    ("actuator/emergency", dumped(command=["emergency_stop"], auth_token=ID)),
]
BROADCASTS = [
    ("kaiser/broadcast/emergency", dumped(command="emergency_stop", reason="fire", issued_by="ada")),
    ("kaiser/broadcast/emergency", dumped(command="emergency_stop", reason="fire", issued_by="ada", auth_token=ID)),
    ("kaiser/broadcast/emergency", dumped(command="clear_emergency", auth_token=ID)),
    ("kaiser/broadcast/emergency", dumped(command="emergency_stop", action="stop_all", auth_token=ID)),
    ("kaiser/broadcast/emergency", dumped(command=1)),
    ("kaiser/broadcast/emergency", dumped(command="emergency_stop", auth_token=1)),
    ("kaiser/broadcast/emergency", dumped(action="stop_all", auth_token=ID)),
    ("kaiser/broadcast/emergency", dumped(command="emergency_stop", auth_token=ID, timestamp=1)),
    ("kaiser/broadcast/emergency", dumped()),
]
ACKS = [
    ("system/heartbeat/ack", dumped(status="online", handover_epoch=1, config_available=False, server_time=1)),
    ("system/heartbeat/ack", dumped(status="online", handover_epoch=2)),
    ("system/heartbeat/ack", dumped(status="pending_approval", handover_epoch=1)),
    ("system/heartbeat/ack", dumped(status="online")),
    ("system/heartbeat/ack", dumped(status="online", handover_epoch=0)),
    ("system/heartbeat/ack", dumped(status="online", handover_epoch="1")),
    ("system/heartbeat/ack", dumped(status="online", handover_epoch=True)),
    ("system/heartbeat/ack", dumped(handover_epoch=1)),
]
ZONES = [
    ("zone/assign", dumped(zone_id="north", master_zone_id="house", zone_name="N", correlation_id="z1")),
    ("zone/assign", dumped(zone_id="", master_zone_id="", zone_name="", correlation_id="z2")),
    ("zone/assign", dumped(zone_id=None, master_zone_id="", correlation_id="z3")),
    ("subzone/assign", dumped(subzone_id="bed", assigned_gpios=[25], correlation_id="s1")),
    ("subzone/remove", dumped(subzone_id="bed", correlation_id="s2")),
    ("subzone/safe", dumped(subzone_id="bed", safe_mode_active=True, correlation_id="s3")),
]
SYSTEM = [
    ("system/command", dumped(command=command, correlation_id="c"))
    for command in ("status", "safe_mode", "exit_safe_mode", "set_log_level", "reboot", "STATUS", "factory_reset", "")
] + [("system/command", dumped(command="status", padding="p" * 250)), ("system/command", dumped(action="safe_mode"))]
GOOD_PUMP = {"gpio": 25, "actuator_type": "pump", "actuator_name": "Pump"}
GOOD_PH = {"gpio": 34, "sensor_type": "ph", "sensor_name": "pH"}
CONFIGS = [
    ("config", dumped(config_id="k", correlation_id="k", **scopes))
    for scopes in (
        {"sensors": [GOOD_PH]},
        {"actuators": [GOOD_PUMP]},
        {"sensors": [GOOD_PH], "actuators": [GOOD_PUMP]},
        {"sensors": [GOOD_PH, {"gpio": 35, "sensor_type": "ec"}]},
        {"sensors": [{"gpio": 35, "sensor_type": "ec", "sensor_name": 5}]},
        {"sensors": [{"gpio": 4, "sensor_type": "ds18b20", "sensor_name": "T"}]},
        {"actuators": [GOOD_PUMP, {"gpio": 26}]},
        {"actuators": [{"gpio": 26, "actuator_type": 5, "actuator_name": "V"}]},
        {"sensors": []},
        {},
    )
] + [("config", dumped(config_id="k", sensors=[GOOD_PH]))]
COMMANDS_TO_SENSORS = [("sensor/4/command", dumped(command="measure", request_id="r1", timeout_ms=1000))]
MENU = COMMANDS + EMERGENCIES + BROADCASTS + ACKS + ZONES + SYSTEM + CONFIGS + COMMANDS_TO_SENSORS

REPEATABLE = [message for message in MENU if "safe_mode" not in message[1]]
"""All but the orders into SAFE_MODE and out of it: a mock refuses there, the emulation keeps no such state."""


@pytest.mark.parametrize("acknowledged", [True, False], ids=["acknowledged", "new"])
@pytest.mark.parametrize("generation", ["a", "b"])
@pytest.mark.parametrize("message", MENU, ids=lambda message: f"{message[0]} {message[1][:50]}")
def test_a_mock_answers_and_moves_as_the_firmware_does(generation, acknowledged, message):
    twin = Twin(generation, acknowledged)
    real, mock = twin.hear(*message)
    assert mock == real
    assert twin.states()[1] == twin.states()[0]


def with_an_id_of_its_own(payload: str, number: int) -> str:
    """The message with another correlation id, as long as before: a mock takes the same id for the same message,
    delivered twice."""
    try:
        body = json.loads(payload)
    except ValueError:
        return payload
    given = body.get("correlation_id") if isinstance(body, dict) else None
    if not isinstance(given, str) or not given:
        return payload
    return dumped(**{**body, "correlation_id": f"{number:03}{given[3:]}"})


@pytest.mark.parametrize("generation", ["a", "b"])
@given(
    acknowledged=st.booleans(),
    steps=st.lists(st.tuples(st.sampled_from(REPEATABLE), st.sampled_from([0.1, 1.0, 4.8, 5.1, 60.0])), max_size=25),
)
def test_after_any_messages_a_mock_stands_as_the_firmware_does(generation, acknowledged, steps):
    twin = Twin(generation, acknowledged)
    for number, ((tail, payload), seconds) in enumerate(steps):
        message = (tail, with_an_id_of_its_own(payload, number))
        real, mock = twin.hear(*message)
        assert mock == real, message
        expected, found = twin.states()
        assert found == expected, message
        twin.wait(seconds)


@pytest.mark.parametrize("payload", ["", "no JSON", "[]", "{", '{"command":"clear_emergency"}', '"\\u0000"'])
def test_generation_a_stops_at_any_broadcast(payload):
    twin = Twin("a")
    twin.hear("actuator/25/command", dumped(command="ON"))
    twin.hear("kaiser/broadcast/emergency", payload)
    life = twin.mock.actuator_life(25)
    assert (life.state, life.emergency) == (False, True)


def test_generation_b_says_nothing_but_heartbeats_and_answers_until_it_is_acknowledged():
    twin = Twin("b", acknowledged=False)
    assert not any(may_say(twin.mock, parse(each.topic).kind) for each in statuses(twin.mock, NOW))
    twin.hear("system/heartbeat/ack", dumped(status="online", handover_epoch=1))
    assert all(may_say(twin.mock, parse(each.topic).kind) for each in statuses(twin.mock, NOW))


def test_generation_b_answers_a_configuration_that_is_too_large_and_keeps_nothing_of_it():
    """Source of the answer: the firmware's PAYLOAD_TOO_LARGE at 4,352 bytes."""
    twin = Twin("b")
    body = dumped(config_id="k", correlation_id="k", sensors=[{**GOOD_PH, "sensor_name": "n" * 4400}])
    _, [(topic, answer)] = twin.hear("config", body)
    assert topic.endswith("/config_response")
    expected = {"status": "error", "type": "system", "error_code": "PAYLOAD_TOO_LARGE", "correlation_id": "k"}
    assert expected.items() <= answer.items()
    assert twin.mock.setup.sensors == []
