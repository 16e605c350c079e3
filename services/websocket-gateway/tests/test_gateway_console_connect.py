"""Connecting a device, causes of rejections and QR codes: modules of the console in Node, as tables."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from console_module import called, node

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


def test_rejected_messages_of_one_code_field_and_sender_are_one_group(ask):
    def one(seq: int, **fields: Any) -> dict[str, Any]:
        return {"seq": seq, "code": 5001, "field": None, "esp_id": ESP, "topic": "t", **fields}

    many = [one(500 - number, esp_id=f"ESP_{number % 10}") for number in range(500)]
    groups, of_ten = ask(
        "rejections.js",
        ["groupsOf", [one(9), one(8, code=5205, field="raw"), one(7), one(6, esp_id=None, topic="a/b"), one(5)]],
        ["groupsOf", many],
    )
    assert [(each["code"], each["sender"], each["count"], each["seqs"]) for each in groups] == [
        (5001, ESP, 3, [5, 7, 9]),
        (5205, ESP, 1, [8]),
        (5001, "a/b", 1, [6]),
    ]
    assert groups[0]["newest"]["seq"] == 9
    assert [each["count"] for each in of_ten] == [50] * 10
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
