"""VDA 5050 vehicles of every version in a whole stack: shown, on the map, recorded, replayed; v2 is sent orders."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from browser import Person
from harness import Message, Stack, wait_until
from playwright.sync_api import Browser, expect
from vda5050_messages import VERSIONS, header, state, topic

pytestmark = pytest.mark.timeout(400)  # it waits for a stack

SERIALS = {version: f"AMR.{version.replace('.', '')}" for version in VERSIONS}
NODES = {version: f"N{version.replace('.', '')}" for version in VERSIONS}
SHOWN = {
    serial: {"serial": serial, "connection": "ONLINE", "node": NODES[version], "battery_percent": 63.5}
    for version, serial in SERIALS.items()
}


def said() -> list[Message]:
    """Each vehicle is online and stands at a node of its own, which no layout of the factory knows."""
    found = []
    for version, serial in SERIALS.items():
        connection = header(version, serial) | {"connectionState": "ONLINE"}
        standing = state(version, serial, lastNodeId=NODES[version])
        for name, payload in (("connection", connection), ("state", standing)):
            found.append(Message(topic(version, name, serial), json.dumps(payload).encode()))
    return found


def vehicles(rest: httpx.Client) -> dict[str, dict[str, Any]]:
    answer = rest.get("/api/v1/factory/modules")
    items = answer.json()["items"] if answer.is_success else []
    rows = {one["serial"]: one for one in items if one["serial"] in SHOWN}
    return {serial: {name: row.get(name) for name in SHOWN[serial]} for serial, row in rows.items()}


def recorded(rest: httpx.Client, stack: Stack) -> str:
    """The id of a recording of the vehicles' messages."""
    body = {"name": "vehicles", "priority": 2}
    begun = wait_until(
        lambda: (found := rest.post("/api/v1/recordings", json=body)).status_code in (200, 201, 202) and found,
        "the recorder records",
    )
    recording = begun.json()["recording_id"]

    def shown() -> bool:
        stack.publish(said())  # what is said before ingest has subscribed is heard by nobody
        return vehicles(rest) == SHOWN

    wait_until(shown, "every vehicle is shown")
    path = f"/api/v1/recordings/{recording}"
    wait_until(
        lambda: rest.get(path).json()["recording"]["messages"] >= 2 * len(VERSIONS), "their messages are recorded"
    )
    rest.post(f"{path}/stop").raise_for_status()
    lines = [json.loads(line) for line in rest.get(f"{path}/export").text.splitlines()]
    topics = {one["topic"] for one in lines if "topic" in one}
    assert topics == {message.topic for message in said()}
    return str(recording)


def on_the_map(person: Person) -> None:
    person.open("factory")
    agvs = person.page.locator(".factory-map .agv")
    expect(agvs).to_have_count(len(VERSIONS))
    assert {agv.get_attribute("data-node") for agv in agvs.all()} == set(NODES.values())
    for node in NODES.values():
        expect(person.page.locator(".factory-map .crossing").filter(has_text=node)).to_have_count(1)
    person.screenshot("vehicles")


def test_a_vehicle_of_each_version_is_shown_mapped_recorded_and_replayed(
    make_stack: Callable[..., Stack], browser: Browser
) -> None:
    stack = make_stack(KAISER_MQTT_DIALECTS='["esp", "factory"]').start()
    person = Person(browser, stack).sign_in()
    with stack.sign_in() as rest:
        recording = recorded(rest, stack)
        on_the_map(person)

        for version, serial in SERIALS.items():
            for wanted in (
                {"do": "navigate", "agv": serial, "path": [NODES[version], "N2"]},
                {"do": "instant", "serial": serial, "type": "startPause"},
            ):
                answer = rest.post("/api/v1/factory/steering/preview", json=wanted)
                if version in {"2.0", "2.1"}:
                    plan = answer.json()
                    assert all(check["ok"] for check in plan["checks"]), plan
                    assert [one["topic"].split("/")[:4] for one in plan["messages"]] == [["uagv", "v2", "ACME", serial]]
                else:
                    refused = [check["code"] for check in answer.json()["checks"] if not check["ok"]]
                    assert refused == [5204], answer.text

        rest.post("/api/v1/factory/environment", json={"profile": "replay"}, timeout=120).raise_for_status()
        body = {"recording": recording, "speed": "max", "expect": {"modules": list(SHOWN.values())}}
        begun = rest.post("/api/v1/replays", json=body)
        assert begun.status_code == 202, begun.text
        path = f"/api/v1/replays/{begun.json()['replay_id']}"
        done = wait_until(lambda: (found := rest.get(path).json()).get("ended_at") and found, "it is replayed")
        assert (done["state"], done["passed"], done["differences"]) == ("done", True, [])
        on_the_map(person)
    assert person.troubles == []
    person.leave()
