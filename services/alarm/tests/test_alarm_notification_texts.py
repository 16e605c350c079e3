"""Texts of notifications in both languages: tables of cases."""

from typing import Any, get_args

import pytest
from kaiser_alarm.domain.german import WORDS
from kaiser_alarm.domain.life import Key, Raise, cleared, raised
from kaiser_alarm.domain.names import Called, called_of
from kaiser_alarm.domain.notification_texts import Language, channel_test, summary_of, text_of
from kaiser_alarm.domain.sentences import sentence_of
from kaiser_common.contract.alarm_kinds import AlarmKind
from kaiser_common.contract.schemas.actuator import AlertType, Command
from kaiser_common.contract.schemas.api.actuators import NO_REASON, OPERATORS_CLEAR, OPERATORS_STOP, CommandStateName
from kaiser_common.contract.schemas.api.alarms import Alarm
from kaiser_common.contract.schemas.device import DeviceRecord
from kaiser_common.contract.schemas.event import AlarmSeverity

RAISED_MS = 1_767_225_600_000


def alarm(
    kind: str = "device_offline", source: str = "ESP_1", severity: AlarmSeverity = "critical", **of: Any
) -> Alarm:
    of = {"esp_id": "ESP_1", **of}
    step = raised(None, Raise(Key(kind, source), severity, f"{source} {kind}", RAISED_MS, **of), "1")
    assert step is not None
    return step.alarm


def test_a_summary_of_ten_thousand_names_each_kind_the_worst_first():
    many = [alarm(source=f"ESP_{number}", severity="warning") for number in range(10_000)]
    text = summary_of([*many, alarm("stop_in_force", "all")], "phone-1", "en")
    assert text.title == "critical: 10001 alarms"
    assert text.body.splitlines()[0] == "critical stop_in_force: 1 (all)"
    assert text.body.splitlines()[1] == "warning device_offline: 10000 (ESP_0, ESP_1, ESP_2 and 9997 more)"
    assert len(text.body) < 500


def test_the_text_of_one_alarm_has_its_reference():
    text = text_of(alarm(), "abc-1", "en")
    assert text.title == "critical: ESP_1 device_offline"
    assert "Raised: 2026-01-01 00:00:00 UTC\n" in text.body
    assert text.body.endswith("Reference: abc-1")


@pytest.mark.parametrize(("language", "said"), [("en", ", 2 times in all\n"), ("de", ", zum 2. Mal\n")])
def test_an_alarm_that_was_raised_again_says_how_often(language: Language, said: str):
    text = text_of(alarm().model_copy(update={"times": 2}), "abc-1", language)
    assert f"2026-01-01 00:00:00 UTC{said}" in text.body


@pytest.mark.parametrize(
    ("language", "title", "line", "summary"),
    [
        ("en", "critical, over: ", "Over: 2026-01-01 00:00:01 UTC\n", "critical device_offline, over: 1 (ESP_1)"),
        ("de", "kritisch, vorbei: ", "Vorbei: 2026-01-01 00:00:01 UTC\n", "kritisch device_offline, vorbei: 1 (ESP_1)"),
    ],
)
def test_an_alarm_whose_condition_is_over_says_so(language: Language, title: str, line: str, summary: str):
    step = cleared(alarm(), RAISED_MS + 1000)
    assert step is not None
    text = text_of(step.alarm, "abc-1", language)
    assert text.title.lower().startswith(title.lower())
    assert line in text.body
    both = summary_of([step.alarm, alarm(source="ESP_2")], "phone-1", language).body.lower()
    assert summary.lower() in both
    assert "device_offline: 1 (esp_2)" in both


BEYOND = {"gpio": 4, "sensor_type": "ds18b20", "facts": {"value": 41.25, "limit": 40.0, "unit": "°C"}}
FAILED = {"gpio": 25, "facts": {"command": "ON", "state": "expired", "reason": "no answer within 10 s"}}
CASES: list[tuple[dict[str, Any], str | None]] = [
    ({"kind": "device_offline"}, "ESP_1 ist offline"),
    ({"kind": "limit_hi_hi", **BEYOND}, "ds18b20 von ESP_1 ist 41,25 °C, über der kritischen Grenze 40 °C"),
    ({"kind": "command_failed", **FAILED}, "EIN an GPIO 25 von ESP_1: verfallen"),
    ({"kind": "stop_in_force", "source": "all", "esp_id": None, "facts": {"note": "{Wasser}"}},
     "Not-Halt wirksam: alles: {Wasser}"),
    ({"kind": "stop_in_force", "source": "ESP_1/25", "facts": {"note": "emergency stop by an operator"}},
     "Not-Halt wirksam: GPIO 25 von ESP_1: Not-Halt durch einen Bediener"),
    ({"kind": "stop_in_force", "source": "ESP_1/25", "facts": {}}, "Not-Halt wirksam: GPIO 25 von ESP_1"),
    ({"kind": "clock_ahead", "facts": {"off_s": 3900}},
     "Die Uhr von ESP_1 geht 1 Std. 5 min vor: stattdessen gilt die Empfangszeit"),
    ({"kind": "limit_hi", "gpio": 4, "sensor_type": "ds18b20"}, None),
    ({"kind": "tank_empty"}, None),
]  # fmt: skip


@pytest.mark.parametrize(("of", "expected"), CASES)
def test_an_alarm_is_a_german_sentence_of_its_kind_and_facts(of: dict[str, Any], expected: str | None):
    assert sentence_of(alarm(**of), WORDS, Called()) == expected


@pytest.mark.parametrize(
    ("off_s", "said"),
    [(0, "0 s"), (59, "59 s"), (605, "10 min 5 s"), (3600, "1 Std."), (3605, "1 Std. 5 s"), (100_000, "1 Tg. 3 Std.")],
)
def test_how_long_a_clock_is_off_reads_as_in_the_console(off_s: int, said: str):
    sentence = sentence_of(alarm("clock_ahead", facts={"off_s": off_s}), WORDS, Called())
    assert sentence == f"Die Uhr von ESP_1 geht {said} vor: stattdessen gilt die Empfangszeit"


def test_every_kind_and_every_word_of_its_facts_has_german():
    assert set(WORDS.sentences) == set(get_args(AlarmKind))
    assert set(WORDS.severities) == set(get_args(AlarmSeverity))
    assert set(WORDS.commands) == set(get_args(Command))
    assert set(WORDS.states) >= set(get_args(CommandStateName))
    assert set(WORDS.alerts) == set(get_args(AlertType))
    assert set(WORDS.notes) == {OPERATORS_STOP, OPERATORS_CLEAR, NO_REASON}
    assert {"failed", "timeout", "partial"} <= set(WORDS.pushes)


def test_a_german_notification_has_a_german_title_and_the_reason_as_the_server_wrote_it():
    text = text_of(alarm("command_failed", "ESP_1/25", "warning", **FAILED), "abc-1", "de")
    assert text.title == "Warnung: EIN an GPIO 25 von ESP_1: verfallen"
    assert text.body.splitlines() == [
        "EIN an GPIO 25 von ESP_1: verfallen",
        "",
        "ESP_1/25 command_failed",
        "",
        "Art: command_failed",
        "Quelle: ESP_1/25",
        "Ausgelöst: 2026-01-01 00:00:00 UTC",
        "Referenz: abc-1",
    ]


def test_a_german_summary_and_a_german_test():
    many = [alarm(source=f"ESP_{number}", severity="warning") for number in range(5)]
    text = summary_of(many, "phone-1", "de")
    assert text.title == "Warnung: 5 Alarme"
    assert text.body.splitlines()[0] == "Warnung device_offline: 5 (ESP_0, ESP_1, ESP_2 und 2 weitere)"
    assert channel_test("phone", "grace", "de").body == "grace hat diesen Test des Kanals phone gesendet."


HOUSE = DeviceRecord(esp_id="ESP_1", kaiser_id="god", state="approved", name="Greenhouse\n1")
NAMES = called_of({"ESP_1": HOUSE}, {"ESP_1.4.ds18b20": "East air", "ESP_1.5.ph": ""})


def test_a_notification_begins_with_the_configured_names_and_keeps_the_ids():
    text = text_of(alarm("limit_hi_hi", "ESP_1/4/ds18b20", **BEYOND), "abc-1", "en", NAMES)
    assert text.title == "critical: East air of Greenhouse 1 is 41.25 °C, over hi_hi 40 °C"
    assert text.body.splitlines() == [
        "East air of Greenhouse 1 is 41.25 °C, over hi_hi 40 °C",
        "",
        "ESP_1/4/ds18b20 limit_hi_hi",
        "",
        "Kind: limit_hi_hi",
        "Source: ESP_1/4/ds18b20",
        "Device: Greenhouse 1 (ESP_1)",
        "Raised: 2026-01-01 00:00:00 UTC",
        "Reference: abc-1",
    ]


def test_a_german_notification_has_the_names_too():
    text = text_of(alarm("limit_hi_hi", "ESP_1/4/ds18b20", **BEYOND), "abc-1", "de", NAMES)
    assert text.title == "kritisch: East air von Greenhouse 1 ist 41,25 °C, über der kritischen Grenze 40 °C"
    assert "Gerät: Greenhouse 1 (ESP_1)" in text.body.splitlines()
    assert text_of(alarm("stop_in_force", "ESP_1/25"), "1", "de", NAMES).title == (
        "kritisch: Not-Halt wirksam: GPIO 25 von Greenhouse 1"
    )


def test_an_alarm_of_a_kind_without_a_sentence_names_its_device_below():
    text = text_of(alarm("tank_empty"), "abc-1", "en", NAMES)
    assert text.title == "critical: ESP_1 tank_empty"
    assert "Device: Greenhouse 1 (ESP_1)" in text.body.splitlines()


def test_a_summary_names_its_examples_and_keeps_their_ids():
    many = [
        alarm("sensor_silent", "ESP_1/4/ds18b20", gpio=4, sensor_type="ds18b20"),
        alarm(source="ESP_2", esp_id="ESP_2"),
    ]
    lines = summary_of(many, "phone-1", "en", NAMES).body.splitlines()
    assert lines[0] == "critical device_offline: 1 (ESP_2)"
    assert lines[1] == "critical sensor_silent: 1 (East air, Greenhouse 1: ESP_1/4/ds18b20)"


SENSORS: list[tuple[dict[str, Any], str | None]] = [
    ({"gpio": 4, "sensor_type": "ds18b20"}, "East air"),
    ({"gpio": 4, "sensor_type": "DS18B20"}, "East air"),
    ({"gpio": 4, "sensor_type": "ds18b20", "address": "28FF641E8D3C0C77"}, "East air"),
    ({"gpio": 5, "sensor_type": "ph"}, None),
    ({"gpio": 6, "sensor_type": "ph"}, None),
    ({}, None),
]


@pytest.mark.parametrize(("of", "name"), SENSORS)
def test_a_sensor_is_called_by_its_configuration(of: dict[str, Any], name: str | None):
    assert NAMES(alarm("sensor_silent", **of)) == Called("Greenhouse 1", name)


def test_what_is_not_known_is_called_by_nothing():
    assert NAMES(alarm(esp_id="ESP_9")) == Called()
    assert NAMES(alarm(esp_id=None)) == Called()
