"""Alarms, events and problems in sentences of the console's catalogue: tables of cases in both languages."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from console_module import called, node, printed
from kaiser_common.contract.schemas.api.actuators import UNCONFIRMED

pytestmark = pytest.mark.servers  # they start node

BEYOND = {
    "kind": "limit_hi_hi",
    "source": "ESP_A/4/ds18b20",
    "message": "ds18b20 of ESP_A is 41.5 °C, over hi_hi 40 °C",
    "esp_id": "ESP_A",
    "gpio": 4,
    "sensor_type": "ds18b20",
    "facts": {"value": 41.5, "limit": 40.0, "unit": "°C"},
}
FAILED = {
    "kind": "command_failed",
    "source": "ESP_A/25",
    "message": "ON on gpio 25 of ESP_A failed: no answer within 10 s",
    "esp_id": "ESP_A",
    "gpio": 25,
    "facts": {"command": "ON", "state": "expired", "reason": "no answer within 10 s"},
}
STOPPED = {
    "kind": "stop_in_force",
    "source": "ESP_A/25",
    "message": "ESP_A/25 is stopped: Wasser im Keller",
    "esp_id": "ESP_A",
    "facts": {"raised_by": "grace", "note": "Wasser im Keller"},
}
CLOCK = {
    "kind": "clock_ahead",
    "source": "ESP_A",
    "message": "m",
    "esp_id": "ESP_A",
    "facts": {"off_s": 3900},
}
OVERRUN = {
    "kind": "actuator_alert",
    "source": "ESP_A/25/runtime_protection",
    "message": "m",
    "esp_id": "ESP_A",
    "gpio": 25,
    "facts": {
        "alert_type": "runtime_protection",
        "reason": "gpio 25 was not reported off after its duration: OFF sent",
    },
}
AWAY = {
    "kind": "broker_unreachable",
    "source": "ingest.god",
    "message": "m",
    "facts": {"source": "ingest.god", "broker": "mqtt://10.0.0.1:1883", "reason": "refused"},
}
OLD = {**BEYOND, "facts": {}}
NEW_KIND = {"kind": "tank_empty", "source": "t", "message": "tank t is empty"}
ALARMS = [
    (BEYOND, "ds18b20 of ESP_A is 41.5 °C, over hi_hi 40 °C",
     "ds18b20 von ESP_A ist 41,5 °C, über der kritischen Grenze 40 °C"),
    (FAILED, "ON on gpio 25 of ESP_A: expired: no answer within 10 s", "EIN an GPIO 25 von ESP_A: verfallen"),
    (STOPPED, "emergency stop in force: gpio 25 of ESP_A: Wasser im Keller",
     "Not-Halt wirksam: GPIO 25 von ESP_A: Wasser im Keller"),
    ({**STOPPED, "source": "all", "esp_id": None}, "emergency stop in force: everything: Wasser im Keller",
     "Not-Halt wirksam: alles: Wasser im Keller"),
    ({**STOPPED, "facts": {"note": "emergency stop by an operator"}},
     "emergency stop in force: gpio 25 of ESP_A: emergency stop by an operator",
     "Not-Halt wirksam: GPIO 25 von ESP_A: Not-Halt durch einen Bediener"),
    (OVERRUN, "runtime protection at gpio 25 of ESP_A: gpio 25 was not reported off after its duration: OFF sent",
     "Laufzeitschutz: GPIO 25 von ESP_A"),
    (AWAY, "the MQTT broker mqtt://10.0.0.1:1883 cannot be used, at least one try a minute: refused",
     "Der MQTT-Broker mqtt://10.0.0.1:1883 ist nicht erreichbar, mindestens ein Versuch je Minute"),
    (CLOCK, "the clock of ESP_A is 1 h 5 min ahead: the receive time is used instead",
     "Die Uhr von ESP_A geht 1 Std. 5 min vor: stattdessen gilt die Empfangszeit"),
    (OLD, "ds18b20 of ESP_A is 41.5 °C, over hi_hi 40 °C", "obere Grenze, kritisch: ESP_A/4/ds18b20"),
    (NEW_KIND, "tank t is empty", "tank t is empty"),
]  # fmt: skip
REBOOTED = {
    "event": "device_rebooted",
    "message": "ESP_A has restarted (brownout)",
    "esp_id": "ESP_A",
    "details": {"uptime": 3, "note": "brownout"},
}
EVENTS = [
    (REBOOTED, "ESP_A has restarted: brownout", "ESP_A ist neu gestartet: brownout"),
    ({"event": "conditions_over", "message": "m",
      "details": {"over": [["store_paused", "sensor"], ["disk_filling", ""]]}},
     "does not hold: store paused sensor, disk filling",
     "Besteht nicht: Speichern unterbrochen sensor, Festplatte läuft voll"),
    ({"event": "system_command", "message": "m", "esp_id": "ESP_A",
      "details": {"command": "onewire/scan", "state": "timeout"}},
     "onewire/scan of ESP_A: timeout", "1-Wire-Suche von ESP_A: keine Antwort"),
    ({"event": "something_new", "message": "it is new", "details": {}}, "it is new", "it is new"),
    ({"event": "mqtt_profile_switched", "message": "of an older ingest", "details": {"old": "default"}},
     "of an older ingest", "of an older ingest"),
]  # fmt: skip
TOO_SMALL = {"status": 422, "code": 5206, "rule": "greater_than_equal", "limit": 0.5}
PROBLEMS = [
    ([TOO_SMALL, "for_s: must be more"], "for_s: must be more",
     "Ein Feld hat nicht die erwartete Form. Mindestens 0,5."),
    ([{"status": 409, "code": 5007}, "ESP_A is offline"], "ESP_A is offline", "Das Gerät ist offline."),
    ([{"status": 422, "code": 5206, "rule": "value_error"}, "odd"], "odd", "Ein Feld hat nicht die erwartete Form."),
    ([{"status": 0, "code": None}, "Keine Antwort."], "Keine Antwort.", "Keine Antwort."),
]  # fmt: skip


@pytest.fixture(params=["en", "de"])
def check(request: pytest.FixtureRequest, missing: Callable[..., Any], tmp_path: Path) -> Callable[..., None]:
    """`check(function, calls, cases)`: the sentences of core/ in each language are those of the cases."""
    if node() is None:
        missing("node", "node is not installed")

    def checked(name: str, calls: list[Any], cases: list[Any], module: str = "sentences.js") -> None:
        expected = [case[1 if request.param == "en" else 2] for case in cases]
        assert called(module, [[name, *given] for given in calls], tmp_path, request.param) == expected

    return checked


def test_an_alarm_is_a_sentence_of_its_kind_and_facts(check):
    check("alarmText", [[alarm] for alarm, *_ in ALARMS], ALARMS)


SOURCES = [
    ("all", "everything", "alles"),
    ("critical", "critical", "kritisch"),
    ("ingest.god", "ingest.god", "ingest.god"),
    ("", "Kaiser", "Kaiser"),
]


def test_the_source_of_an_alarm_of_no_device_is_in_words(check):
    check("sourceText", [[source] for source, *_ in SOURCES], SOURCES)


SUMMARIES = [
    ({"type": "config_response", "data": {"status": "pending"}}, "configuration pending", "Einstellungen ausstehend"),
    ({"type": "config_response", "data": {"status": "failed", "message": "gpio 99"}},
     "configuration failed: gpio 99", "Einstellungen fehlgeschlagen"),
    ({"type": "actuator_alert", "data": {"gpio": 25, "alert_type": "emergency_stop", "message": None}},
     "gpio 25 emergency stop", "GPIO 25 Not-Halt"),
    ({"type": "actuator_alert", "data": {"gpio": 25, "alert_type": "emergency_stop", "message": "too hot"}},
     "gpio 25 emergency stop: too hot", "GPIO 25 Not-Halt: too hot"),
]  # fmt: skip


def test_a_line_of_the_log_ends_with_no_colon_where_nothing_follows(check):
    check("summary", [[event] for event, *_ in SUMMARIES], SUMMARIES, "summaries.js")


NAMED = {
    "devices": [{"esp_id": "ESP_A", "name": "Greenhouse 1"}, {"esp_id": "ESP_B", "name": None}],
    "sensors": [
        {"esp_id": "ESP_A", "gpio": 4, "sensor_type": "ds18b20", "address": "", "name": "East air"},
        {"esp_id": "ESP_B", "gpio": 4, "sensor_type": "ds18b20", "address": "", "name": None},
    ],
    "actuators": [],
}
CALLED = [
    (BEYOND, "East air of Greenhouse 1 is 41.5 °C, over hi_hi 40 °C",
     "East air von Greenhouse 1 ist 41,5 °C, über der kritischen Grenze 40 °C"),
    ({**BEYOND, "esp_id": "ESP_B"}, "ds18b20 of ESP_B is 41.5 °C, over hi_hi 40 °C",
     "ds18b20 von ESP_B ist 41,5 °C, über der kritischen Grenze 40 °C"),
    ({**BEYOND, "gpio": 5}, "ds18b20 of Greenhouse 1 is 41.5 °C, over hi_hi 40 °C",
     "ds18b20 von Greenhouse 1 ist 41,5 °C, über der kritischen Grenze 40 °C"),
    (STOPPED, "emergency stop in force: gpio 25 of Greenhouse 1: Wasser im Keller",
     "Not-Halt wirksam: GPIO 25 von Greenhouse 1: Wasser im Keller"),
]  # fmt: skip
_WITH_NAMES = """
await (await import("./core/texts.js")).openTexts({ getItem: () => given.language }, [], {});
const { toDirectory } = await import("./core/names.js");
const { alarmText, systemEventText } = await import("./core/sentences.js");
const { summary } = await import("./core/summaries.js");
const { toastOf } = await import("./core/alarms.js");
const directory = toDirectory(given.overview);
const said = given.alarms.map((alarm) => alarmText(alarm, directory));
const [alarm] = given.alarms;
const line = summary({ type: "alarm", data: { ...alarm, what: "raised", severity: "critical" } }, directory);
const toast = toastOf([alarm], directory).text;
console.log(JSON.stringify({ said, event: systemEventText(given.event, directory), line, toast }));
"""


@pytest.mark.parametrize("language", ["en", "de"])
def test_a_sentence_calls_devices_and_sensors_by_their_names(language: str, missing: Callable[..., Any]):
    if node() is None:
        missing("node", "node is not installed")
    alarms = [alarm for alarm, *_ in CALLED]
    found = printed(_WITH_NAMES, language=language, overview=NAMED, alarms=alarms, event=REBOOTED)
    expected = [case[1 if language == "en" else 2] for case in CALLED]
    assert found["said"] == expected
    assert found["event"].startswith("Greenhouse 1 ")
    assert expected[0] in found["line"]
    assert expected[0] in found["toast"]


_LOGGED = """
await (await import("./core/texts.js")).openTexts({ getItem: () => given.language }, [], {});
const { summary } = await import("./core/summaries.js");
console.log(JSON.stringify(given.events.map((event) => summary(event))));
"""
REPORTS = {
    "actuator_status": {"gpio": 25, "actuator_type": "pump", "state": True, "value": 1.0},
    "actuator_response": {"gpio": 25, "command": "ON", "success": True},
    "actuator_alert": {"gpio": 25, "alert_type": "runtime_protection", "severity": "critical"},
}


@pytest.mark.parametrize("kind", REPORTS)
@pytest.mark.parametrize(
    ("language", "mark"),
    [("en", " (replayed: an old report)"), ("de", " (nachträglich angenommen: eine alte Meldung)")],
)
def test_the_log_marks_a_report_that_was_rejected_at_first_and_is_replayed(
    kind: str, language: str, mark: str, missing: Callable[..., Any]
):
    if node() is None:
        missing("node", "node is not installed")
    events = [{"type": kind, "data": {**REPORTS[kind], **more}} for more in ({}, {"replayed": True})]
    first, again = printed(_LOGGED, language=language, events=events)
    assert (again, "25" in first) == (first + mark, True)


def test_a_system_event_is_a_sentence_of_its_name_and_details(check):
    check("systemEventText", [[event] for event, *_ in EVENTS], EVENTS)


ENDED = {"state": "expired", "state_reason": "no answer within 10 s", "message": None}
OFF_WHILE_OFFLINE = "das Gerät ist offline: AUS wird trotzdem gesendet und ist bestätigt, sobald das Gerät antwortet"
COMMANDS = [
    ({**ENDED, "sent_at": 7}, None, "das Gerät hat nicht geantwortet"),
    ({**ENDED, "sent_at": None}, None, "er wurde nicht rechtzeitig gesendet"),
    ({"state": "failed", "sent_at": 7, "message": "Pumpe klemmt"}, None, "Pumpe klemmt"),
    ({"state": "failed", "sent_at": 7, "message": None}, None, "das Gerät hat abgelehnt"),
    ({"state": "cancelled", "sent_at": None, "message": None}, None, None),
    ({"state": "acknowledged", "sent_at": 7, "message": "done"}, None, None),
    *(
        ({"state": state, "sent_at": None, "message": None, "state_reason": UNCONFIRMED}, None, OFF_WHILE_OFFLINE)
        for state in ("queued", "sent")
    ),
]


def test_a_command_that_did_not_succeed_says_why_from_how_far_it_came(check):
    check("commandReason", [[command] for command, *_ in COMMANDS], COMMANDS)


def test_a_problem_is_a_sentence_of_its_code_and_the_rule_of_its_field(check):
    check("problemText", [given for given, *_ in PROBLEMS], PROBLEMS, "problems.js")


_TOAST = """
await (await import("./core/texts.js")).openTexts({ getItem: () => "en" }, [], {});
const { toastOf } = await import("./core/alarms.js");
console.log(JSON.stringify(given.batches.map((alarms) => toastOf(alarms))));
"""


def test_a_toast_names_the_worst_of_the_alarms_that_began_together(missing: Callable[..., Any]):
    if node() is None:
        missing("node", "node is not installed")
    warm, stopped = {**BEYOND, "severity": "warning"}, {**STOPPED, "severity": "critical"}
    other = {**BEYOND, "esp_id": "ESP_B", "severity": "critical"}
    one, many, equal = printed(_TOAST, batches=[[warm], [warm, warm, stopped], [stopped, other]])
    assert (one["kind"], "over hi_hi 40" in one["text"]) == ("warn", True)
    assert many["kind"] == "bad"
    assert "emergency stop in force" in many["text"], "the critical one came last"
    assert "2 more" in many["text"]
    assert "emergency stop in force" in equal["text"], "of equal ones the first"


STANDING = {"alarm_id": "a", "step": 2, "state": "raised", "acknowledged_by": None, "source": "ESP_A"}
ACKNOWLEDGED = {"alarm_id": "a", "step": 3, "state": "acknowledged", "acknowledged_by": "ada", "what": "acknowledged"}


@pytest.mark.parametrize(
    ("batch", "expected"),
    [
        ([("alarm", ACKNOWLEDGED)], ("acknowledged", "ada", "ESP_A")),
        ([("alarm", ACKNOWLEDGED), ("alarm", {**STANDING, "step": 2})], ("acknowledged", "ada", "ESP_A")),
        ([("alarm", {**ACKNOWLEDGED, "step": 2})], ("raised", None, "ESP_A")),  # the list is as new
        ([("alarm", {**ACKNOWLEDGED, "alarm_id": "b"}), ("sensor_data", ACKNOWLEDGED)], ("raised", None, "ESP_A")),
    ],
)
def test_an_alarm_of_a_list_is_as_the_newest_of_its_steps_has_left_it(
    batch: list[Any], expected: tuple[Any, ...], missing: Callable[..., Any], tmp_path: Path
):
    if node() is None:
        missing("node", "node is not installed")
    events = [{"type": kind, "data": data} for kind, data in batch]
    [[found]] = called("alarms.js", [["withSteps", [STANDING], events]], tmp_path)
    assert (found["state"], found["acknowledged_by"], found["source"]) == expected
