"""Alarms in sentences of a language, with the configured names of devices and sensors where they have one; pure."""

from collections.abc import Mapping
from typing import NamedTuple

from kaiser_common.contract.schemas.api.alarms import Alarm
from kaiser_common.contract.schemas.event import Fact

from kaiser_alarm.domain.names import Called

_STEPS = (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1))


class Words(NamedTuple):
    """The texts of a language. sentences: by the kind of alarm. notes: what Kaiser says where nobody gave a reason.
    pin: a gpio of a device. Words of the API that are missing stay as they are."""

    sentences: Mapping[str, str]
    severities: Mapping[str, str]
    commands: Mapping[str, str]
    states: Mapping[str, str]
    pushes: Mapping[str, str]
    alerts: Mapping[str, str]
    notes: Mapping[str, str]
    units: Mapping[str, str]
    decimal_mark: str
    everything: str
    pin: str


def sentence_of(alarm: Alarm, words: Words, called: Called) -> str | None:
    """An alarm in a sentence; None where the words have none of its kind, or where it lacks facts, as one of an older
    version does."""
    text = words.sentences.get(alarm.kind)
    if text is None:
        return None
    try:
        said = text.format_map(_values(alarm, words, called))
    except KeyError:
        return None
    note = str(alarm.facts.get("note", ""))
    return f"{said}: {words.notes.get(note, words.alerts.get(note, note))}" if note else said


def _values(alarm: Alarm, words: Words, called: Called) -> dict[str, str]:
    fields = {
        "device": called.device or alarm.esp_id,
        "gpio": alarm.gpio,
        "sensor": called.sensor or alarm.sensor_type,
        "message": alarm.message,
    }
    found = {name: str(value) for name, value in fields.items() if value is not None}
    found |= {name: _said(name, value, alarm.facts, words) for name, value in alarm.facts.items()}
    severity = words.severities.get(alarm.source, alarm.source)
    return {**found, "source": alarm.source, "severity": severity, "target": _target(alarm, words, called)}


def _said(name: str, value: Fact, facts: Mapping[str, Fact], words: Words) -> str:
    match name:
        case "command":
            return words.commands.get(str(value), str(value))
        case "state":
            return words.states.get(str(value), str(value))
        case "status":
            return words.pushes.get(str(value), str(value))
        case "alert_type":
            return words.alerts.get(str(value), str(value))
        case "value" | "limit":
            return f"{_number(value, words)} {facts.get('unit', '')}".strip()
        case "off_s":
            return _duration(int(value), words)
    return _number(value, words)


def _number(value: Fact, words: Words) -> str:
    return value if isinstance(value, str) else f"{round(value, 3):.10g}".replace(".", words.decimal_mark)


def _duration(seconds: int, words: Words) -> str:
    """3725 → "1 h 2 min": the two largest units that are not zero."""
    parts, rest = [], max(0, seconds)
    for unit, size in _STEPS:
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count} {words.units.get(unit, unit)}")
    return " ".join(parts[:2]) or f"0 {words.units.get('s', 's')}"


def _target(alarm: Alarm, words: Words, called: Called) -> str:
    if alarm.esp_id is None:
        return words.everything
    device = called.device or alarm.esp_id
    gpio = alarm.source.partition("/")[2] if alarm.gpio is None else str(alarm.gpio)
    return words.pin.format(gpio=gpio, device=device) if gpio.isdecimal() else device
