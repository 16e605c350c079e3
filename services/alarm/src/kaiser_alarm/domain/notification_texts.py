"""The texts of notifications: an alarm, or many in a summary, in the language of the site; pure."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Literal, NamedTuple

from kaiser_common.contract.schemas.api.alarms import Alarm
from kaiser_common.contract.times import time_of

from kaiser_alarm.domain import german

Language = Literal["en", "de"]

_KINDS_IN_SUMMARY = 40
_EXAMPLES = 3
_ORDER = {"critical": 0, "warning": 1, "info": 2}


class _Phrases(NamedTuple):
    """The words around the alarms, with places for their values."""

    facts: str
    again: str
    severities: Mapping[str, str]
    alarms: str
    more_of_kind: str
    more_kinds: str
    reference: str


_PHRASES: Mapping[Language, _Phrases] = MappingProxyType(
    {
        "en": _Phrases(
            "Kind: {kind}\nSource: {source}\nRaised: {raised} UTC{again}\nReference: {key}",
            ", for the {times}th time",
            MappingProxyType({}),
            "{severity}: {number} alarms",
            " and {number} more",
            "and {number} kinds more",
            "Reference: {key}",
        ),
        "de": _Phrases(
            "Art: {kind}\nQuelle: {source}\nAusgelöst: {raised} UTC{again}\nReferenz: {key}",
            ", zum {times}. Mal",
            german.SEVERITIES,
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


def text_of(alarm: Alarm, key: str, language: Language) -> Text:
    """One alarm in words. The reference distinguishes a repeated delivery from a new one. A reason in Kaiser's own
    words is English: where the sentence lacks it, the alarm's message follows."""
    words, said = _PHRASES[language], _sentence(alarm, language)
    facts = words.facts.format(
        kind=alarm.kind,
        source=alarm.source or "Kaiser",
        raised=f"{time_of(alarm.last_raised_at):%Y-%m-%d %H:%M:%S}",
        again=words.again.format(times=alarm.times) if alarm.times > 1 else "",
        key=key,
    )
    paragraphs = [said, *([alarm.message] if said != alarm.message and "reason" in alarm.facts else []), facts]
    return Text(f"{_severity(alarm.severity, words)}: {said[:120]}", "\n\n".join(paragraphs))


def summary_of(alarms: Sequence[Alarm], key: str, language: Language) -> Text:
    """Many alarms in one message: each kind is named with its number, the worst first, so that none is hidden."""
    words = _PHRASES[language]
    kinds: dict[tuple[str, str], list[Alarm]] = {}
    for alarm in alarms:
        kinds.setdefault((alarm.severity, alarm.kind), []).append(alarm)
    ordered = sorted(kinds.items(), key=lambda one: (_ORDER[one[0][0]], one[0][1]))
    lines = [_line(severity, kind, found, language) for (severity, kind), found in ordered[:_KINDS_IN_SUMMARY]]
    if len(ordered) > _KINDS_IN_SUMMARY:
        lines.append(words.more_kinds.format(number=len(ordered) - _KINDS_IN_SUMMARY))
    title = words.alarms.format(severity=_severity(ordered[0][0][0], words), number=len(alarms))
    return Text(title, "\n".join([*lines, "", words.reference.format(key=key)]))


def channel_test(channel_id: str, user: str, language: Language) -> Text:
    """A message that a person sends to see whether a channel works."""
    if language == "de":
        return Text("Kaiser: Test", f"{user} hat diesen Test des Kanals {channel_id} gesendet.")
    return Text("Kaiser: test", f"{user} has sent this test of channel {channel_id}.")


def _line(severity: str, kind: str, found: Sequence[Alarm], language: Language) -> str:
    words = _PHRASES[language]
    named = ", ".join(alarm.source or _sentence(alarm, language)[:80] for alarm in found[:_EXAMPLES])
    more = words.more_of_kind.format(number=len(found) - _EXAMPLES) if len(found) > _EXAMPLES else ""
    return f"{_severity(severity, words)} {kind}: {len(found)} ({named}{more})"


def _sentence(alarm: Alarm, language: Language) -> str:
    if language == "en":
        return alarm.message
    return german.sentence_of(alarm) or alarm.message


def _severity(severity: str, words: _Phrases) -> str:
    return words.severities.get(severity, severity)
