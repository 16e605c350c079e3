"""The demo's parts: the message that is sent, the file of mock devices, the wait for a service that is away."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from kaiser_demo import cli, fate, mocks, send
from kaiser_demo.rest import RestRefused
from kaiser_stack import report
from kaiser_stack.errors import NotReadyError, SetupError
from kaiser_stack.ports import LOOPBACK, free_port
from kaiser_stack.settings import load


def test_the_sender_sends_a_reading_of_the_contract():
    reading = send.SentReading("god", "ESP_0A1B2C3D", 4, "DS18B20", 21.5, "°C")
    assert send.topic(reading) == "kaiser/god/esp/ESP_0A1B2C3D/sensor/4/data"
    assert json.loads(send.payload(reading, 1767225600123)) == {
        "ts": 1767225600123,
        "esp_id": "ESP_0A1B2C3D",
        "gpio": 4,
        "sensor_type": "DS18B20",
        "raw": 2150,
        "raw_value": 21.5,
        "raw_mode": False,
        "value": 21.5,
        "unit": "°C",
        "quality": "good",
    }


def test_the_sender_says_that_there_is_no_broker():
    port = free_port()
    with pytest.raises(NotReadyError, match=f"no MQTT broker at {LOOPBACK}:{port}"):
        send.send(LOOPBACK, port, send.SentReading("god", "ESP_1", 4, "DS18B20", 21.5))


def test_the_sender_returns_what_the_broker_acknowledged(mqtt_broker):
    sent = send.send(mqtt_broker.host, mqtt_broker.port, send.SentReading("god", "ESP_1", 4, "DS18B20", 21.5))
    assert sent.topic == "kaiser/god/esp/ESP_1/sensor/4/data"
    assert json.loads(sent.payload)["ts"] == sent.at_ms


def test_a_reading_goes_to_the_broker_of_the_stack_that_runs(tmp_path: Path):
    settings = load({"KAISER_STATE_DIR": str(tmp_path)})
    assert cli.broker_of(settings) == (LOOPBACK, 1883)
    report.addresses_file(settings).parent.mkdir()
    report.addresses_file(settings).write_text(json.dumps({"mqtt_host": LOOPBACK, "mqtt_port": 21883}))
    assert cli.broker_of(settings) == (LOOPBACK, 21883)
    own = load({"KAISER_STATE_DIR": str(tmp_path), "KAISER_MQTT_HOST": "broker.example", "KAISER_MQTT_PORT": "8883"})
    assert cli.broker_of(own) == ("broker.example", 8883)


class Answers:
    """A stack that answers what it is to: of readings and of rejected messages, one list a question."""

    def __init__(self, stored: list[list[dict[str, Any]]], rejected: list[list[dict[str, Any]]]) -> None:
        self._stored, self._rejected = stored, rejected

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        answers = self._stored if "/sensors/data" in path else self._rejected
        return {"items": answers.pop(0) if len(answers) > 1 else answers[0]}


READING = send.SentReading("god", "ESP_1", 4, "DS18B20", 21.5, "°C")
SENT = send.AcknowledgedReading(send.topic(READING), send.payload(READING, 7), 7)
ROW = {"value": 21.5, "unit": "°C", "quality": "good"}


def rejection(code: int, text: str) -> dict[str, Any]:
    return {"topic": SENT.topic, "payload": SENT.payload, "code": code, "message": text}


def test_the_sender_says_that_the_reading_is_stored():
    others = {**rejection(5209, "another one"), "payload": "{"}
    rest = Answers([[], [ROW]], [[others]])
    assert fate.follow(rest, READING, lambda: SENT, registered=False) == "stored: 21.5 °C, quality good"


@pytest.mark.parametrize(
    ("code", "text", "said"),
    [
        (
            5001,
            "device ESP_1 is not registered and approved",
            "rejected (5001): device ESP_1 is not registered and approved; register it: `make send ESP=ESP_1 "
            "REGISTER=1`, or approve it on the console's page Devices",
        ),
        (5209, "no", "rejected (5209): no; the console's page Rejected shows the message"),
    ],
)
def test_the_sender_says_why_the_reading_was_rejected_and_what_to_do(code: int, text: str, said: str):
    with pytest.raises(fate.SentRejected) as refused:
        fate.follow(Answers([[]], [[rejection(code, text)]]), READING, lambda: SENT, registered=False)
    assert str(refused.value) == said


def test_a_reading_that_came_before_ingest_knew_its_new_device_is_sent_again():
    sent: list[send.AcknowledgedReading] = []

    def once() -> send.AcknowledgedReading:
        sent.append(send.AcknowledgedReading(SENT.topic, send.payload(READING, len(sent)), len(sent)))
        return sent[-1]

    early = {**rejection(5001, "not registered"), "payload": send.payload(READING, 0)}
    said = fate.follow(Answers([[], [], [ROW]], [[early]]), READING, once, registered=True)
    assert (said, len(sent)) == ("stored: 21.5 °C, quality good", 2)


def test_the_sender_gives_up_where_nothing_becomes_of_the_reading(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(fate, "_WITHIN_S", 0.01)
    with pytest.raises(NotReadyError, match="neither stored nor rejected"):
        fate.follow(Answers([[]], [[]]), READING, lambda: SENT, registered=False)


def test_a_file_of_mocks_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(SetupError, match=r"cannot read .*/nowhere\.yaml: No such file or directory"):
        mocks.read(tmp_path / "nowhere.yaml")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("devcies: []\n", "there is no key devcies: did you mean devices?"),
        ("devices: []\nrule: []\n", "there is no key rule: did you mean rules?"),
        ("devices: []\nzones: []\n", "there is no key zones: there are devices, rules, factory"),
    ],
)
def test_a_misspelt_key_of_a_file_of_mocks_is_refused_with_the_one_that_was_meant(tmp_path: Path, text: str, said: str):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(SetupError, match=f"{path}: {re.escape(said)}"):
        mocks.read(path)


class OutageOfLogic:
    """A stack whose logic service answers 503 so many times; notes what it was asked."""

    http_url = "http://here"

    def __init__(self, times: int) -> None:
        self._times = times
        self.added: list[str] = []

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        if path.startswith("/api/v1/logic/rules"):
            self._times -= 1
            if self._times >= 0:
                raise RestRefused(503, "the database does not answer", None)
            if method == "POST":
                self.added.append(body["name"])
        return {"items": [], "esp_ids": []}


def test_the_demo_waits_for_its_rules_after_an_outage_and_fails_without_them(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(mocks, "_ASK_EVERY_S", 0.0)
    content = mocks.Demo([], [{"name": "Cool"}, {"name": "Water"}])
    rest = OutageOfLogic(3)
    mocks.load(rest, content, lambda _: None)
    assert rest.added == ["Cool", "Water"]
    monkeypatch.setattr(mocks, "_THERE_WITHIN_S", 0.01)
    with pytest.raises(NotReadyError, match="rules: not taken"):
        mocks.load(OutageOfLogic(1_000_000), content, lambda _: None)
