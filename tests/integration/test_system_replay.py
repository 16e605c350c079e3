"""A recording replayed through the whole stack: always the end that is expected of it, and no machine is reached."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import forked
import httpx
import nats
import paho.mqtt.client as paho
import psycopg
import pytest
from auditing import audited
from harness import ROOT, Stack, wait_until
from kaiser_factory_dialect.recordings import Recorded, parse_file, to_line
from kaiser_factory_dialect.topics import parse
from leaving import leave

pytestmark = pytest.mark.timeout(400)  # its first test waits for a stack

GOLDEN = ROOT / "tests/golden"
FILE, EXPECT = GOLDEN / "factory-session.jsonl", GOLDEN / "factory-session.expected.json"
EXPECTED = json.loads(EXPECT.read_text())
MESSAGES = parse_file(FILE.name, FILE.read_bytes()).messages
WITHIN_S = 120.0


def is_sent(topic: str) -> bool:
    """All but commands is replayed, and but the topic with a space, which NATS as an MQTT broker does not take."""
    found = parse(topic)
    return " " not in topic and (found is None or found.row.direction not in {"in", "both"})


class OnLine:
    """The stack with a listener at its live broker, and REST."""

    def __init__(self, stack: Stack, rest: httpx.Client) -> None:
        self.stack = stack
        self.rest = rest
        self.heard: list[str] = []
        self.epoch = 0

    def on_message(self, _: Any, __: Any, message: paho.MQTTMessage) -> None:
        self.heard.append(message.topic)

    def get(self, path: str, **parameters: Any) -> Any:
        answer = self.rest.get(f"/api/v1/{path}", params=parameters)
        return answer.json() if answer.status_code == 200 else {}

    def enter(self, profile: str) -> None:
        answer = self.rest.post("/api/v1/factory/environment", json={"profile": profile}, timeout=90.0)
        assert answer.status_code == 200, answer.text
        wait_until(lambda: self.get("factory/modules").get("env") == profile, f"the factory is in {profile}", WITHIN_S)

    def imported(self, content: bytes, filename: str = "session.jsonl") -> str:
        answer = self.rest.post(f"/api/v1/recordings/import?filename={filename}", content=content)
        assert answer.status_code == 202, answer.text
        recording = answer.json()["recording_id"]
        path = f"recordings/{recording}"
        wait_until(lambda: self.get(path).get("recording", {}).get("state") == "ready", "it is read", WITHIN_S)
        return str(recording)

    def begin(self, recording: str, **fields: Any) -> str:
        answer = self.rest.post("/api/v1/replays", json={"recording": recording, **fields})
        assert answer.status_code == 202, answer.text
        return str(answer.json()["replay_id"])

    def ended(self, replay: str) -> dict[str, Any]:
        try:
            wait_until(lambda: self.get(f"replays/{replay}").get("ended_at"), "it has ended", WITHIN_S)
        except AssertionError:
            print(self.get(f"replays/{replay}"), self.stack.logs())
            raise
        return dict(self.get(f"replays/{replay}"))


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OnLine]:
    stack = Stack(
        tmp_path_factory.mktemp("replay") / "stack",
        KAISER_MQTT_DIALECTS='["esp", "factory"]',
        KAISER_REQUEST_PER_SECOND="1000",
        KAISER_TOKEN_MINUTES="600",
    ).start()
    listener = paho.Client(paho.CallbackAPIVersion.VERSION2, protocol=paho.MQTTv311)
    try:
        with stack.sign_in() as rest:
            line = OnLine(stack, rest)
            listener.on_message = line.on_message
            listener.connect(stack.addresses["mqtt_host"], stack.addresses["mqtt_port"])
            listener.subscribe([(each, 1) for each in ("module/#", "fts/#", "ccu/#", "/j1/#")])
            listener.loop_start()
            wait_until(lambda: "recorder" in stack.pids(), "the recorder runs")
            yield line
    finally:
        leave(listener)
        stack.stop()


def test_in_a_live_environment_nothing_is_replayed(line: OnLine) -> None:
    wait_until(lambda: line.get("factory/environment").get("env") == "live", "the environment is live", WITHIN_S)
    recording = line.imported(FILE.read_bytes())
    answer = line.rest.post("/api/v1/replays", json={"recording": recording})
    assert (answer.status_code, answer.json()["code"]) == (409, 5405)
    assert line.heard == []


def test_a_switch_a_replay_and_its_control_stand_in_the_audit(line: OnLine) -> None:
    line.enter("replay")
    recording = line.imported(FILE.read_bytes())
    replay = line.begin(recording, paused=True)
    stopped = line.rest.post(f"/api/v1/replays/{replay}/control", json={"do": "stop"})
    assert stopped.status_code == 200, stopped.text
    line.ended(replay)
    line.enter("live")

    def change(service: str, action: str, target: str) -> tuple[dict[str, Any], dict[str, Any]]:
        entry = audited(line.rest, action, target)
        assert (entry["service"], entry["actor"], entry["outcome"]) == (service, "admin", "done")
        return entry.get("before") or {}, entry["after"]

    before, after = change("ingest", "switch_profile", "live")
    assert (before["active"], after["active"]) == ("replay", "live")
    before, after = change("recorder", "start_replay", recording)
    assert (before, after["replay_id"], after["recording_id"]) == ({}, replay, recording)
    before, after = change("recorder", "control_replay", f"{replay}/stop")
    assert (before["replay_id"], before["state"], after["replay_id"]) == (replay, "paused", replay)


def test_the_session_at_20_times_its_speed_ends_as_expected(line: OnLine) -> None:
    line.enter("replay")
    recording = line.imported(FILE.read_bytes())
    began = time.monotonic()
    done = line.ended(line.begin(recording, speed=20, expect=EXPECTED))
    assert (done["state"], done["passed"], done["differences"]) == ("done", True, [])
    assert time.monotonic() - began >= EXPECTED["end_ms"] / 1000 / 20
    assert (done["sent"], done["failed"]) == (sum(is_sent(each.topic) for each in MESSAGES), 1)
    assert done["sent"] + done["left_out"] + done["failed"] == EXPECTED["messages"]


@pytest.mark.parametrize("speed", ["max", 100])
def test_killed_in_the_middle_it_goes_on_and_ends_as_expected(line: OnLine, speed: float | str) -> None:
    line.enter("replay")
    recording = line.imported(FILE.read_bytes())
    replay = line.begin(recording, speed=speed, shift="none", expect=EXPECTED)
    middle = EXPECTED["messages"] // 3
    wait_until(lambda: line.get(f"replays/{replay}").get("number", 0) >= middle, "it is under way", WITHIN_S)
    line.stack.kill("recorder")
    done = line.ended(replay)
    assert (done["state"], done["passed"], done["differences"]) == ("done", True, [])
    assert kept_of(line, done["epoch"]) == Counter(
        each.payload for each in MESSAGES if is_sent(each.topic) and not each.topic.startswith(("omf/", "j1/"))
    )


def kept_of(line: OnLine, epoch: int) -> Counter[bytes]:
    """The payloads that came over the broker in an epoch, each as often as it came."""
    return asyncio.run(_kept_of(line.stack.addresses["nats_url"], str(epoch)))


async def _kept_of(nats_url: str, epoch: str) -> Counter[bytes]:
    found: Counter[bytes] = Counter()
    client = await nats.connect(nats_url)
    try:
        subscription = await client.jetstream().subscribe(
            "topic.replay.>", stream="TOPICS", ordered_consumer=True, pending_msgs_limit=-1, pending_bytes_limit=-1
        )
        while True:
            message = await subscription.next_msg(timeout=30.0)
            headers = message.headers or {}
            # What is retained at the broker comes again to an ingest that has lost its connection.
            if headers["Kaiser-Epoch"] == epoch and headers["Kaiser-Verdict"] != "retained_same":
                found[message.data] += 1
            if message.metadata.num_pending == 0:
                return found
    finally:
        await client.close()


def test_an_end_that_is_not_expected_is_told_with_its_differences(line: OnLine) -> None:
    line.enter("replay")
    other = json.loads(EXPECT.read_text())
    other["orders"][0]["state"] = "ERROR"
    recording = line.imported(FILE.read_bytes())
    done = line.ended(line.begin(recording, speed="max", expect=other))
    assert (done["state"], done["passed"]) == ("done", False)
    assert done["differences"] == [f"orders.{other['orders'][0]['order_id']}.state: 'FINISHED' instead of 'ERROR'"]


def test_make_replay_says_by_its_exit_status_whether_the_end_is_the_expected_one(line: OnLine, tmp_path: Path) -> None:
    line.enter("live")
    other = json.loads(EXPECT.read_text())
    other["stock"]["SVRT10001"]["A1"] = None
    wrong = tmp_path / "other.json"
    wrong.write_text(json.dumps(other))
    for expect, status, text in (
        (EXPECT, 0, "the end is the one expected"),
        (wrong, 1, "stock.SVRT10001.A1"),
        (tmp_path / "none.json", 2, "cannot read"),
    ):
        command = ["kaiser-demo", "replay", "--file", str(FILE), "--expect", str(expect)]
        done = forked.run(command, cwd=ROOT, env=line.stack.environment, timeout=WITHIN_S)
        assert (done.returncode, text in done.stdout + done.stderr) == (status, True), done.stdout + done.stderr
        assert line.get("factory/environment")["env"] == "live"
    assert FILE.name not in {each["name"] for each in line.get("recordings")["items"]}


def test_a_device_is_replayed_as_a_simulated_one_and_its_readings_are_stored_as_such(line: OnLine) -> None:
    line.enter("replay")
    at_us = 1_771_000_000_000_000
    messages = [
        Recorded(
            "kaiser/god/esp/ESP_REPLAYED/sensor/4/data",
            json.dumps(
                {
                    "esp_id": "ESP_REPLAYED",
                    "gpio": 4,
                    "sensor_type": "ph",
                    "raw": 100 + number,
                    "raw_mode": True,
                    "ts": at_us // 1_000_000 + number,
                }
            ).encode(),
            at_us + number * 1_000_000,
            1,
        )
        for number in range(20)
    ]
    command = Recorded("kaiser/god/esp/ESP_REPLAYED/actuator/5/command", b'{"command": "ON"}', at_us, 1)
    lines = b"\n".join(to_line(each, number) for number, each in enumerate([*messages, command], 1))
    done = line.ended(line.begin(line.imported(lines, "device.jsonl"), speed="max"))
    assert (done["state"], done["sent"], done["left_out"]) == ("done", 20, 1)
    wait_until(lambda: line.stack.rows(["SIM_REPLAYED"]) == 20, "every reading is stored", WITHIN_S)
    with psycopg.connect(line.stack.addresses["database_url"]) as connection:
        sources = connection.execute("SELECT DISTINCT data_source FROM sensor.data WHERE esp_id = 'SIM_REPLAYED'")
        assert [str(each[0]).lower() for each in sources.fetchall()] == ["simulation"]
    assert line.stack.rows(["ESP_REPLAYED"]) == 0


def test_of_all_replays_nothing_came_to_the_live_broker(line: OnLine) -> None:
    assert line.heard == []


@pytest.mark.speed
def test_a_replay_at_max_sends_500_messages_a_second_into_the_sandbox(line: OnLine) -> None:
    line.enter("replay")
    recording = line.imported(FILE.read_bytes() * 20)
    began = time.monotonic()
    replay = line.begin(recording, speed="max")
    wait_until(lambda: line.get(f"replays/{replay}").get("sent", 0) > 0, "it has begun")
    first = time.monotonic()
    done = line.ended(replay)
    took = time.monotonic() - first
    print(f"{done['sent']} messages sent in {took:.1f} s ({done['sent'] / took:.0f}/s), {first - began:.1f} s to begin")
    assert done["sent"] + done["left_out"] + done["failed"] == EXPECTED["messages"] * 20
    assert done["sent"] / took >= 500
