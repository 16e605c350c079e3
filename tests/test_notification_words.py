"""The words of notifications are those of the console, text by text."""

import json
import re
from collections.abc import Mapping
from pathlib import Path

import pytest
from kaiser_alarm.domain import english, german

TEXTS = Path(__file__).parents[1] / "services/websocket-gateway/src/kaiser_gateway/console/core/texts"
LINE = re.compile(r'^  "([^"]+)": ("(?:[^"\\\\]|\\\\.)*"),$', re.MULTILINE)
GROUPS = {
    "alarm_text": "sentences",
    "switch": "commands",
    "command": "states",
    "push": "pushes",
    "alert": "alerts",
    "note": "notes",
    "unit": "units",
}
NAMED = ("{device}", "{sensor}", "{target}")


def console(language: str) -> dict[str, str]:
    return {key: json.loads(text) for key, text in LINE.findall((TEXTS / f"{language}.js").read_text())}


def group(texts: Mapping[str, str], name: str) -> dict[str, str]:
    beginning = f"word.{name}."
    return {key.removeprefix(beginning): text for key, text in texts.items() if key.startswith(beginning)}


@pytest.mark.parametrize("name", GROUPS)
def test_the_texts_of_notifications_are_those_of_the_console(name: str):
    assert group(console("de"), name) == dict(getattr(german.WORDS, GROUPS[name]))


@pytest.mark.parametrize("name", GROUPS)
def test_english_texts_with_names_are_those_of_the_console_too(name: str):
    texts = group(console("en"), name)
    if name == "alarm_text":
        texts = {kind: text for kind, text in texts.items() if any(named in text for named in NAMED)}
        assert texts == dict(english.WORDS.sentences)
        return
    words = getattr(english.WORDS, GROUPS[name])
    assert texts == {word: words.get(word, word) for word in texts}


def test_severities_targets_and_everything_too():
    german_texts, english_texts = console("de"), console("en")
    assert {key: german_texts[f"word.{key}"] for key in german.WORDS.severities} == dict(german.WORDS.severities)
    assert all(english_texts[f"word.{key}"] == key for key in german.WORDS.severities)
    for texts, words in ((german_texts, german.WORDS), (english_texts, english.WORDS)):
        assert (texts["common.gpio_of"], texts["emergency.everything"]) == (words.pin, words.everything)
