"""The texts of notifications: an alarm, or many in a summary, in the language of the site; pure."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Literal, NamedTuple

from kaiser_common.contract.schemas.api.alarms import Alarm
from kaiser_common.contract.times import time_of

from kaiser_alarm.domain import english, german
from kaiser_alarm.domain.names import Called, CalledOf, nobody_called
from kaiser_alarm.domain.sentences import Words, sentence_of

Language = Literal["en", "de"]

_KINDS_IN_SUMMARY = 40
_EXAMPLES = 3
_ORDER = {"critical": 0, "warning": 1, "info": 2}


class _Phrases(NamedTuple):
    """The words around the alarms, with places for their values."""

    words: Words
    facts: str
    device: str
    again: str
    over: str
    over_at: str
    alarms: str
    more_of_kind: str
    more_kinds: str
    reference: str


_PHRASES: Mapping[Language, _Phrases] = MappingProxyType(
    {
        "en": _Phrases(
            english.WORDS,
            "Kind: {kind}\nSource: {source}\n{device}Raised: {raised} UTC{again}{over}\nReference: {key}",
            "Device: {name} ({esp_id})\n",
            ", {times} times in all",
            ", over",
            "\nOver: {cleared} UTC",
            "{severity}: {number} alarms",
            " and {number} more",
            "and {number} kinds more",
            "Reference: {key}",
        ),
        "de": _Phrases(
            german.WORDS,
            "Art: {kind}\nQuelle: {source}\n{device}Ausgelöst: {raised} UTC{again}{over}\nReferenz: {key}",
            "Gerät: {name} ({esp_id})\n",
            ", zum {times}. Mal",
            ", vorbei",
            "\nVorbei: {cleared} UTC",
            "{severity}: {number} Alarme",
            " und {number} weitere",
            "und {number} weitere Arten",
            "Referenz: {key}",
        ),
    }
)


class Text(NamedTuple):
    """The text of a notification."""

    title: str
    body: str


def text_of(alarm: Alarm, key: str, language: Language, called_of: CalledOf = nobody_called) -> Text:
    """One alarm in words, with the configured names of its device and sensor. The reference distinguishes a repeated
    delivery from a new one. The alarm's message, which is English and has ids, follows where it has a reason that the
    sentence lacks, and in English behind a sentence with names. One whose condition is over says so, and since when."""
    phrases, called = _PHRASES[language], called_of(alarm)
    said = _sentence(alarm, language, called)
    facts = phrases.facts.format(
        kind=alarm.kind,
        source=alarm.source or "Kaiser",
        device=phrases.device.format(name=called.device, esp_id=alarm.esp_id) if called.device else "",
        raised=_moment(alarm.last_raised_at),
        again=phrases.again.format(times=alarm.times) if alarm.times > 1 else "",
        over=phrases.over_at.format(cleared=_moment(alarm.cleared_at)) if alarm.cleared_at is not None else "",
        key=key,
    )
    lacks = said != alarm.message and (language == "en" or "reason" in alarm.facts)
    paragraphs = [said, *([alarm.message] if lacks else []), facts]
    return Text(f"{_heading(alarm, phrases)}: {said[:120]}", "\n\n".join(paragraphs))


def summary_of(alarms: Sequence[Alarm], key: str, language: Language, called_of: CalledOf = nobody_called) -> Text:
    """Many alarms in one message: each kind is named with its number, the worst first, so that none is hidden."""
    phrases = _PHRASES[language]
    kinds: dict[tuple[str, str, bool], list[Alarm]] = {}
    for alarm in alarms:
        kinds.setdefault((alarm.severity, alarm.kind, alarm.cleared_at is not None), []).append(alarm)
    ordered = sorted(kinds.items(), key=lambda one: (_ORDER[one[0][0]], *one[0][1:]))
    lines = [_line(found, language, called_of) for _, found in ordered[:_KINDS_IN_SUMMARY]]
    if len(ordered) > _KINDS_IN_SUMMARY:
        lines.append(phrases.more_kinds.format(number=len(ordered) - _KINDS_IN_SUMMARY))
    title = phrases.alarms.format(severity=_severity(ordered[0][0][0], phrases), number=len(alarms))
    return Text(title, "\n".join([*lines, "", phrases.reference.format(key=key)]))


def channel_test(channel_id: str, user: str, language: Language) -> Text:
    """A message that a person sends to see whether a channel works."""
    if language == "de":
        return Text("Kaiser: Test", f"{user} hat diesen Test des Kanals {channel_id} gesendet.")
    return Text("Kaiser: test", f"{user} has sent this test of channel {channel_id}.")


def _line(found: Sequence[Alarm], language: Language, called_of: CalledOf) -> str:
    """Alarms of one severity and kind that all stand, or are all over."""
    phrases, one = _PHRASES[language], found[0]
    named = ", ".join(_example(alarm, language, called_of(alarm)) for alarm in found[:_EXAMPLES])
    more = phrases.more_of_kind.format(number=len(found) - _EXAMPLES) if len(found) > _EXAMPLES else ""
    over = phrases.over if one.cleared_at is not None else ""
    return f"{_severity(one.severity, phrases)} {one.kind}{over}: {len(found)} ({named}{more})"


def _example(alarm: Alarm, language: Language, called: Called) -> str:
    """ "East air, Greenhouse 1: ESP_0A1B2C3D/4/ds18b20"."""
    names = ", ".join(name for name in (called.sensor, called.device) if name)
    source = alarm.source or _sentence(alarm, language, called)[:80]
    return f"{names}: {source}" if names else source


def _sentence(alarm: Alarm, language: Language, called: Called) -> str:
    if language == "en" and not any(called):
        return alarm.message
    return sentence_of(alarm, _PHRASES[language].words, called) or alarm.message


def _severity(severity: str, phrases: _Phrases) -> str:
    return phrases.words.severities.get(severity, severity)


def _heading(alarm: Alarm, phrases: _Phrases) -> str:
    return _severity(alarm.severity, phrases) + (phrases.over if alarm.cleared_at is not None else "")


def _moment(at: int) -> str:
    return f"{time_of(at):%Y-%m-%d %H:%M:%S}"
