"""The kinds of docs/alarms.md are those that the running service raises and counts, with the severities it says."""

import re
from pathlib import Path
from typing import Any, get_args

import httpx
from alarm_kinds import documented
from alarm_world import FAST, ask, channel, say, shown, until
from kaiser_alarm.domain import conditions
from kaiser_alarm.domain.conditions import BEGINS, is_momentary
from kaiser_common.bus.connection import Bus
from kaiser_common.contract.alarm_kinds import AlarmKind
from kaiser_common.contract.schemas.api.alarms import LimitsBody, LimitsKey, PutLimits, SensorLimits
from kaiser_common.contract.schemas.event import (
    ActuatorAlertEvent,
    ActuatorResponseEvent,
    AlarmSeverity,
    ConfigResponseEvent,
    LogicExecutionEvent,
    SensorDataEvent,
)
from kaiser_common.contract.subjects import event_pack_subject, event_subject
from prometheus_client.parser import text_string_to_metric_families

SOURCES = Path(conditions.__file__).parents[1]
KINDS = {row.kind for row in documented()}
DETAILS = {"source": "part", "rule_id": "r", "name": "n", "error_code": 1}
BY_THEIR_NAME = {"alert_of_unknown_device", "factory_lane_breach"}
"""Events that BEGINS does not have: a critical one is a kind of its own name."""
IN_WORDS = {"rule_notification", "rule_alarm_raised", "unreadable_alert"}
"""Events that the page describes instead of naming them."""


def test_the_page_has_the_kinds_of_the_code_and_no_other():
    literal = {
        kind for path in SOURCES.rglob("*.py") for kind in re.findall(r'\bKey\(\s*f?"([a-z_]+)"', path.read_text())
    }
    of_events = {begins.kind for begins in BEGINS.values()}
    assert {"sensor_silent", "config_failed", "rule_failed"} <= literal
    of_events |= BY_THEIR_NAME
    assert literal | of_events | conditions._WITH_END == KINDS == set(get_args(AlarmKind))


def test_the_page_says_of_each_kind_how_it_begins_and_whether_something_ends_it():
    for row in documented():
        assert is_momentary(row.kind) is row.momentary, row
    for name, begins in BEGINS.items():
        said = "".join(row.begins for row in documented() if row.kind == begins.kind)
        assert name in IN_WORDS or f"`{name}`" in said or said.endswith("of that name"), name


async def put(bus: Bus, event: str, body: Any) -> None:
    await bus.publish(event_subject(event, "ESP_1"), body.model_dump_json().encode())


async def reading(bus: Bus, esp_id: str, **fields: Any) -> None:
    body = SensorDataEvent(kaiser_id="god", esp_id=esp_id, gpio=4, sensor_type="ph", ts=1000, **fields)
    await bus.publish(event_pack_subject(), body.model_dump_json().encode())


async def begin_all(bus: Bus, severity: AlarmSeverity) -> None:
    """Begin every condition that an event begins; where the event has a severity it is this one."""
    for event in BEGINS:
        await say(bus, event, severity=severity, **DETAILS)
    for event in BY_THEIR_NAME:
        await say(bus, event, severity="critical")
    of_device = {"kaiser_id": "god", "esp_id": "ESP_1", "ts": 1}
    refused = ActuatorResponseEvent(**of_device, gpio=25, command="ON", success=False, command_id="c")
    await put(bus, "actuator_response", refused)
    alert = ActuatorAlertEvent(**of_device, gpio=25, alert_type="runtime_protection", severity=severity)
    await put(bus, "actuator_alert", alert)
    await put(bus, "config_response", ConfigResponseEvent(**of_device, status="failed"))
    failed = LogicExecutionEvent(rule_id="r", rule_name="r", execution_id="e", success=False, outcome="failed", ts=1)
    await put(bus, "logic_execution", failed)
    await reading(bus, "ESP_SILENT", value=7.0, quality="stale")
    await reading(bus, "ESP_FAULTY", quality="error")
    await reading(bus, "ESP_HIGH", value=12.0, quality="good")
    await reading(bus, "ESP_LOW", value=1.0, quality="good")


async def severities(bus: Bus) -> dict[str, str]:
    return {alarm.kind: alarm.severity for alarm in await shown(bus, limit=1000)}


def counted(port: int) -> set[str]:
    """The kinds that hold, by the metric of the service."""
    text = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=60).text
    return {
        sample.labels["kind"]
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "kaiser_alarm_active" and sample.value >= 1
    }


async def test_each_kind_is_raised_with_the_severity_of_the_page_and_counted(start, bus, receiver, free_port):
    receiver.status = 500
    start(**FAST, KAISER_METRICS_PORT=str(port := free_port()))
    for esp_id, given in (("ESP_HIGH", {"hi_hi": 11, "hi": 9}), ("ESP_LOW", {"lo_lo": 2, "lo": 5})):
        key = LimitsKey(esp_id=esp_id, gpio=4, sensor_type="ph")
        await ask(bus, "put_limits", PutLimits(sensor=key, limits=LimitsBody(**given)), SensorLimits)
    await channel(bus, "hook", receiver.url, severities=["critical"])
    await begin_all(bus, "warning")

    async def all_raised() -> bool:
        return set(await severities(bus)) >= KINDS

    await until(all_raised)
    first = await severities(bus)

    async def all_counted() -> bool:
        return counted(port) >= KINDS

    await until(all_counted)
    assert counted(port) == set(first) == KINDS
    await begin_all(bus, "critical")
    await say(bus, "device_offline", "ESP_LAST")
    await until(lambda: shown(bus, esp_id="ESP_LAST"))
    then = await severities(bus)
    expected = {row.kind: row.severity for row in documented()}
    assert first == {kind: severity or "warning" for kind, severity in expected.items()}
    assert then == {kind: severity or "critical" for kind, severity in expected.items()}
