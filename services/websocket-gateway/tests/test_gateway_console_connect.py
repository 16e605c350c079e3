"""Connecting a device, causes of rejections and QR codes: modules of the console in Node, as tables."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from console_module import called, node
from kaiser_common.contract.schemas.api.rejected import CauseReplay

GOLDEN = json.loads((Path(__file__).parent / "golden" / "qr.json").read_text())
"""Made by the Python package `qrcode`: each row of modules as a hexadecimal number after a leading 1."""

SINCE = 1000
ESP = "ESP_0A1B2C3D"
READING = {"ts": 0, "received_at": 1500, "sensor_type": "ds18b20"}
OURS = {
    "esp_id": ESP,
    "topic": f"kaiser/god/esp/{ESP}/sensor/4/data",
    "payload": "{",
    "received_at": 1600,
    "code": 5209,
}
LOST = {"esp_id": None, "topic": "kaiser/god/esp/esp_0a1b2c3d/temp", "payload": "21", "received_at": 1600, "code": 5212}
OTHERS = {**LOST, "topic": "kaiser/god/esp/ESP_FFFFFFFF/temp"}


@pytest.fixture
def ask(missing: Callable[..., Any], tmp_path: Path) -> Callable[..., Any]:
    """`ask(module, [function, *arguments], …)` of core/."""
    if node() is None:
        missing("node", "node is not installed")
    return lambda module, *calls: called(module, [list(call) for call in calls], tmp_path)


@pytest.mark.parametrize(
    ("came", "state"),
    [
        ({}, "waiting"),
        ({"device": {"last_seen": 900}}, "waiting"),
        ({"device": {"last_seen": 1100}}, "seen"),
        ({"readings": [READING]}, "stored"),
        ({"readings": [{**READING, "received_at": 900}]}, "waiting"),
        ({"rejected": [OURS]}, "rejected"),
        ({"rejected": [{**OURS, "received_at": 900}]}, "waiting"),
        ({"rejected": [LOST]}, "rejected"),
        ({"rejected": [OTHERS]}, "waiting"),
        ({"readings": [READING], "rejected": [OURS]}, "rejected"),
        ({"readings": [{**READING, "received_at": 1700}], "rejected": [OURS]}, "stored"),
        ({"device": {"last_seen": 1100}, "rejected": [OTHERS, OURS]}, "rejected"),
    ],
)
def test_what_came_of_a_first_message(ask, came, state):
    known = {"espId": ESP, "readings": [], "rejected": [], "device": None, **came}
    [stand] = ask("waiting.js", ["standOf", known, SINCE])
    assert stand["state"] == state


def test_every_code_with_which_ingest_rejects_has_advice(ask):
    codes = [5001, 5201, 5202, 5203, 5205, 5206, 5207, 5208, 5209, 5210, 5211, 5212, 5407]
    advice = ask("advice.js", *[["adviceFor", code] for code in codes])
    assert len(set(advice)) == len(codes)


def test_a_cause_is_replayed_step_after_step_and_its_counts_are_summed_up(ask):
    cause = {"code": 5001, "field": "esp_id", "esp_id": ESP, "serial": None, "topic": None, "count": 7, "message": "m"}
    [first] = ask("rejections.js", ["causeOf", cause])
    assert first == {"code": 5001, "field": "esp_id", "esp_id": ESP}
    assert CauseReplay.model_validate(first).after is None
    done = {"replayed": 4, "refused": 1, "left": 2, "through": 9, "next_cursor": "5"}
    after, last, counts, senders = ask(
        "rejections.js",
        ["stepAfter", first, done],
        ["stepAfter", first, {**done, "next_cursor": None}],
        ["added", {"taken": 1, "rejected": 2}, done],
        ["senderOf", {**cause, "esp_id": None, "topic": "a/b"}],
    )
    assert CauseReplay.model_validate(after).after == 5
    assert (after["through"], last, counts, senders) == (9, None, {"taken": 5, "rejected": 3}, "a/b")
    able = ask("rejections.js", *[["canRegister", {"code": code, "espId": name}] for code, name in [
        (5001, ESP), (5205, ESP), (5001, None), (5001, "esp_1")]])  # fmt: skip
    assert able == [True, False, False, False]


@pytest.mark.parametrize("golden", GOLDEN, ids=lambda golden: golden["text"][:12])
def test_a_qr_code_is_what_another_program_makes_of_the_text(ask, golden):
    [rows] = ask("qr.js", ["qrMatrix", golden["text"], golden["mask"]])
    assert [f"{int('1' + ''.join(str(int(dark)) for dark in row), 2):x}" for row in rows] == golden["rows"]


def test_a_qr_code_has_one_of_its_masks_and_a_text_that_is_too_long_has_none(ask):
    text = GOLDEN[0]["text"]
    chosen, *each = ask("qr.js", ["qrMatrix", text], *[["qrMatrix", text, mask] for mask in range(8)])
    assert chosen in each
    assert ask("qr.js", ["qrMatrix", "x" * 214]) == [None]
