"""The German of notifications is that of the console, text by text."""

import json
import re
from pathlib import Path

import pytest
from kaiser_alarm.domain import german

CATALOGUE = Path(__file__).parents[1] / "services/websocket-gateway/src/kaiser_gateway/console/core/texts/de.js"
LINE = re.compile(r'^  "([^"]+)": ("(?:[^"\\\\]|\\\\.)*"),$', re.MULTILINE)
SAME = {
    "alarm_text": german.SENTENCES,
    "switch": german.COMMANDS,
    "command": german.STATES,
    "push": german.PUSHES,
    "alert": german.ALERTS,
    "unit": german.UNITS,
}


@pytest.mark.parametrize("group", SAME)
def test_the_texts_of_notifications_are_those_of_the_console(group: str):
    texts = {key: json.loads(text) for key, text in LINE.findall(CATALOGUE.read_text())}
    beginning = f"word.{group}."
    assert {key: texts[f"{beginning}{key}"] for key in SAME[group]} == dict(SAME[group])
    assert {key for key in texts if key.startswith(beginning)} == {f"{beginning}{key}" for key in SAME[group]}


def test_severities_too():
    texts = {key: json.loads(text) for key, text in LINE.findall(CATALOGUE.read_text())}
    assert {key: texts[f"word.{key}"] for key in german.SEVERITIES} == dict(german.SEVERITIES)
