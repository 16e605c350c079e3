"""Alarms in German sentences, as the console has them (`core/texts/de.js`; a test compares the two); pure."""

from collections.abc import Mapping
from types import MappingProxyType

from kaiser_common.contract.schemas.api.alarms import Alarm
from kaiser_common.contract.schemas.event import Fact

SENTENCES: Mapping[str, str] = MappingProxyType(
    {
        "actuator_alert": "{alert_type}: {target}",
        "alert_of_unknown_device": "{device} hat eine Warnung gesendet und ist nicht angemeldet und freigegeben: "
        "sehen Sie nach und geben Sie es dann frei",
        "broker_session_lost": "Der MQTT-Broker hat die Sitzung verloren: Nachrichten, die dort warteten, fehlen",
        "broker_session_taken_over": "Ein anderer MQTT-Client benutzt die Kennung von ingest",
        "broker_switch_failed": "Brokerprofil {profile} war nicht zu verbinden, zurück zu {old}",
        "broker_unreachable": "Der MQTT-Broker ist nicht erreichbar, ein Versuch je Minute",
        "clock_ahead": "Die Uhr von {device} geht {off_s} vor: stattdessen gilt die Empfangszeit",
        "clock_behind": "Die Uhr von {device} geht {off_s} nach: Messwerte erscheinen alt",
        "command_failed": "{command} an GPIO {gpio} von {device}: {state}",
        "config_failed": "Einstellungen von {device}: {status}",
        "delivery_failed": "Kanal {source} nimmt keine Nachrichten an",
        "device_error": "{device} meldet Fehler {error_code}",
        "device_offline": "{device} ist offline",
        "disk_filling": "Die Festplatte von ingest ist zu {percent} % voll",
        "factory_lane_breach": "Eine Nachricht für {topic} wurde nicht gesendet: auf diesem Weg darf sie nicht hinaus",
        "limit_hi": "{sensor} von {device} ist {value}, über der Grenze {limit}",
        "limit_hi_hi": "{sensor} von {device} ist {value}, über der kritischen Grenze {limit}",
        "limit_lo": "{sensor} von {device} ist {value}, unter der Grenze {limit}",
        "limit_lo_lo": "{sensor} von {device} ist {value}, unter der kritischen Grenze {limit}",
        "message_undeliverable": "Eine Nachricht für {topic} wurde nicht gesendet: das Gerät ist offline",
        "no_channel": "Kein Weg führt einen Alarm der Schwere {severity} zu einem eingeschalteten Kanal: "
        "nur die Konsole zeigt ihn",
        "rejections_many": "{percent} % der Nachrichten der letzten fünf Minuten wurden abgelehnt ({source})",
        "rule_alarm": "{message}",
        "rule_failed": "Regel {rule_name} ist fehlgeschlagen",
        "rule_loop": "Regel {rule_name} löst zu oft aus und pausiert",
        "rule_notification": "{message}",
        "sensor_fault": "{sensor} an GPIO {gpio} von {device} ist gestört oder außerhalb des Messbereichs",
        "sensor_silent": "{sensor} an GPIO {gpio} von {device} ist stumm",
        "stop_in_force": "Not-Halt wirksam: {target}",
        "stop_not_cleared": "Not-Halt nicht aufgehoben, er bleibt wirksam: {target}",
        "stop_refused": "{device} hat den Not-Halt abgelehnt; jeder Aktor erhält AUS",
        "store_paused": "Empfangenes kann nicht gespeichert werden ({source})",
        "stream_filling": "Stream {source} ist zu {percent} % voll; ist er voll, nimmt er keine Nachrichten an",
        "unreadable_alert": "{device} hat eine Warnung gesendet, die nicht zu lesen ist",
    }
)
SEVERITIES: Mapping[str, str] = MappingProxyType({"critical": "kritisch", "warning": "Warnung", "info": "Hinweis"})
COMMANDS: Mapping[str, str] = MappingProxyType(
    {
        "OFF": "AUS",
        "ON": "EIN",
        "PWM": "PWM",
        "TOGGLE": "UMSCHALTEN",
    }
)
STATES: Mapping[str, str] = MappingProxyType(
    {
        "abandoned": "aufgegeben",
        "accepted": "angenommen",
        "acknowledged": "bestätigt",
        "cancelled": "abgebrochen",
        "expired": "verfallen",
        "failed": "fehlgeschlagen",
        "finished": "fertig",
        "no_answer": "keine Antwort",
        "queued": "eingereiht",
        "refused": "abgelehnt",
        "sent": "gesendet",
        "timed_out": "Zeit abgelaufen",
        "unconfirmed": "unbestätigt",
    }
)
PUSHES: Mapping[str, str] = MappingProxyType(
    {
        "applied": "übernommen",
        "assigned": "zugeordnet",
        "failed": "fehlgeschlagen",
        "partial": "teilweise übernommen",
        "pending": "ausstehend",
        "removed": "entfernt",
        "timeout": "keine Antwort",
    }
)
ALERTS: Mapping[str, str] = MappingProxyType(
    {
        "config_invalid": "ungültige Einstellungen",
        "emergency_stop": "Not-Halt",
        "hardware_error": "Hardwarefehler",
        "offline_rule_hold": "Regel ohne Verbindung hält",
        "other": "sonstige Warnung",
        "runtime_protection": "Laufzeitschutz",
        "safety_forced_off": "zur Sicherheit abgeschaltet",
        "safety_violation": "Sicherheitsverletzung",
        "verification_failed": "Prüfung fehlgeschlagen",
    }
)
_WORDS = {"command": COMMANDS, "state": STATES, "status": PUSHES, "alert_type": ALERTS}
UNITS: Mapping[str, str] = MappingProxyType({"d": "Tg.", "h": "Std.", "min": "min", "s": "s"})
_STEPS = (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1))


def sentence_of(alarm: Alarm) -> str | None:
    """An alarm in German; None where its kind is unknown, or where it lacks facts, as one of an older version does."""
    text = SENTENCES.get(alarm.kind)
    if text is None:
        return None
    try:
        said = text.format_map(_values(alarm))
    except KeyError:
        return None
    note = alarm.facts.get("note")
    return f"{said}: {note}" if note else said


def _values(alarm: Alarm) -> dict[str, str]:
    fields = {"device": alarm.esp_id, "gpio": alarm.gpio, "sensor": alarm.sensor_type, "message": alarm.message}
    found = {name: str(value) for name, value in fields.items() if value is not None}
    found |= {name: _said(name, value, alarm.facts) for name, value in alarm.facts.items()}
    severity = SEVERITIES.get(alarm.source, alarm.source)
    return {**found, "source": alarm.source, "severity": severity, "target": _target(alarm)}


def _said(name: str, value: Fact, facts: Mapping[str, Fact]) -> str:
    if name in _WORDS:
        return _WORDS[name].get(str(value), str(value))
    if name in ("value", "limit"):
        return f"{_number(value)} {facts.get('unit', '')}".strip()
    return _duration(int(value)) if name == "off_s" else _number(value)


def _number(value: Fact) -> str:
    return value if isinstance(value, str) else f"{round(value, 3):.10g}".replace(".", ",")


def _duration(seconds: int) -> str:
    """3725 → "1 Std. 2 min": the two largest units that are not zero."""
    parts, rest = [], max(0, seconds)
    for unit, size in _STEPS:
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count} {UNITS[unit]}")
    return " ".join(parts[:2]) or f"0 {UNITS['s']}"


def _target(alarm: Alarm) -> str:
    if alarm.esp_id is None:
        return "alles"
    gpio = alarm.source.partition("/")[2] if alarm.gpio is None else str(alarm.gpio)
    return f"GPIO {gpio} von {alarm.esp_id}" if gpio.isdecimal() else alarm.esp_id
