"""Alarms in German sentences, as the console has them (`core/texts/de.js`; a test compares the two)."""

from types import MappingProxyType

from kaiser_common.contract.schemas.api.actuators import NO_REASON, OPERATORS_CLEAR, OPERATORS_STOP

from kaiser_alarm.domain.sentences import Words

WORDS = Words(
    sentences=MappingProxyType(
        {
            "actuator_alert": "{alert_type}: {target}",
            "alert_of_unknown_device": "{device} hat eine Warnung gesendet und ist nicht angemeldet und freigegeben: "
            "sehen Sie nach und geben Sie es dann frei",
            "broker_session_lost": "Der MQTT-Broker hat die Sitzung verloren: Nachrichten, die dort warteten, fehlen",
            "broker_session_taken_over": "Ein anderer MQTT-Client benutzt die Kennung von ingest",
            "broker_switch_failed": "Brokerprofil {profile} war nicht zu verbinden, zurück zu {old}",
            "broker_unreachable": "Der MQTT-Broker {broker} ist nicht erreichbar, mindestens ein Versuch je Minute",
            "certificate_ending": "Das Zertifikat von {broker} endet am {ends_on}: "
            "danach verbindet sich kein Gerät mehr",
            "clock_ahead": "Die Uhr von {device} geht {off_s} vor: stattdessen gilt die Empfangszeit",
            "clock_behind": "Die Uhr von {device} geht {off_s} nach: Messwerte erscheinen alt",
            "command_failed": "{command} an GPIO {gpio} von {device}: {state}",
            "config_failed": "Einstellungen von {device}: {status}",
            "delivery_failed": "Kanal {source} nimmt keine Nachrichten an",
            "device_error": "{device} meldet Fehler {error_code}",
            "device_offline": "{device} ist offline",
            "disk_filling": "Die Festplatte von ingest ist zu {percent} % voll",
            "factory_lane_breach": "Eine Nachricht für {topic} wurde nicht gesendet: "
            "auf diesem Weg darf sie nicht hinaus",
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
    ),
    severities=MappingProxyType({"critical": "kritisch", "warning": "Warnung", "info": "Hinweis"}),
    commands=MappingProxyType(
        {
            "OFF": "AUS",
            "ON": "EIN",
            "PWM": "PWM",
            "TOGGLE": "UMSCHALTEN",
        }
    ),
    states=MappingProxyType(
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
    ),
    pushes=MappingProxyType(
        {
            "applied": "übernommen",
            "assigned": "zugeordnet",
            "failed": "fehlgeschlagen",
            "partial": "teilweise übernommen",
            "pending": "ausstehend",
            "removed": "entfernt",
            "timeout": "keine Antwort",
        }
    ),
    alerts=MappingProxyType(
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
    ),
    notes=MappingProxyType(
        {
            OPERATORS_CLEAR: "aufgehoben durch einen Bediener",
            OPERATORS_STOP: "Not-Halt durch einen Bediener",
            NO_REASON: "ohne Angabe eines Grundes",
        }
    ),
    units=MappingProxyType({"d": "Tg.", "h": "Std.", "min": "min", "s": "s"}),
    decimal_mark=",",
    everything="alles",
    pin="GPIO {gpio} von {device}",
)
