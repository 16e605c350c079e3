"""The messages that may reach devices: NATS user × subject × kind of message, at the server and at the single exit."""

import json
from typing import Any

import pytest
from kaiser_common.contract.schemas.event import OutboxMessage
from kaiser_common.contract.topics import Kind, build
from kaiser_deploy.grants import grants
from kaiser_ingest.domain.judge import Allowed, judge
from secured import Secured, refusal

ESP = "ESP_0A1B2C3D"
SUBJECTS = (
    f"mqtt.out.god.{ESP}",
    f"mqtt.out.god.{ESP}.5",
    *(f"mqtt.out.god.{ESP}.{kind}" for kind in ("setup", "sensor", "stop", "mock", "command.5")),
    f"mqtt.urgent.god.{ESP}",
    "mqtt.urgent.god.=",
    "mqtt.out.god.=.stop",
    "mqtt.out.god.=.setup",
    "mqtt.out.broadcast.all",
    "mqtt.out.broadcast.all.stop",
    "mqtt.urgent.broadcast.all",
)
STOP, CLEAR = {"command": "emergency_stop"}, {"command": "clear_emergency"}
SETTING_UP = {
    "downlink.config",
    "downlink.zone.assign",
    "downlink.subzone.assign",
    "downlink.subzone.remove",
    "downlink.subzone.safe",
    "downlink.system.command",
    "downlink.system.heartbeat_ack",
}
MAY: dict[str, set[str]] = {
    "actuator": {"stop", "stop of all", "clear", "ON", "OFF"},
    "health": SETTING_UP,
    "sensor": {"downlink.sensor.command", "downlink.sensor.processed"},
    "simulator": set(),
}
"""Nobody but actuator moves anything, stops it or ends a stop; the simulator speaks for mocks, to no device."""

MESSAGES: dict[str, tuple[Kind, dict[str, Any]]] = {
    "ON": (Kind.ACTUATOR_COMMAND, {"command": "ON", "value": 1.0}),
    "OFF": (Kind.ACTUATOR_COMMAND, {"command": "OFF", "value": 0.0}),
    "stop": (Kind.EMERGENCY, STOP),
    "clear": (Kind.EMERGENCY, CLEAR),
    "stop of all": (Kind.BROADCAST_EMERGENCY, STOP),
    "clear of all": (Kind.BROADCAST_EMERGENCY, CLEAR),
    **{
        str(kind): (kind, {"a": 1})
        for kind in Kind
        if kind not in (Kind.ACTUATOR_COMMAND, Kind.EMERGENCY, Kind.BROADCAST_EMERGENCY)
    },
}
USERS = [each.user for each in grants()]


@pytest.mark.parametrize("user", USERS)
async def test_a_user_has_devices_told_what_its_service_has_to_say_and_nothing_else(bus: Secured, user: str):
    subjects = [each for each in SUBJECTS if not await refusal(bus, user, "publish", each)]
    told = {
        name
        for name, (kind, body) in MESSAGES.items()
        for subject in subjects
        if isinstance(judge(subject, _message(kind, body)), Allowed)
    }
    assert told == MAY.get(user, set())


@pytest.mark.parametrize("user", USERS)
async def test_a_user_that_may_not_write_to_devices_may_not_purge_what_others_wrote(bus: Secured, user: str):
    refused = await refusal(bus, user, "publish", "$JS.API.STREAM.PURGE.OUTBOX")
    assert (refused == "") is (user == "actuator")


def _message(kind: Kind, body: dict[str, Any]) -> OutboxMessage:
    return OutboxMessage(topic=build(kind, "god", ESP, 5), payload=json.dumps(body))
