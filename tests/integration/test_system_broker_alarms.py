"""Alarms of the connection to the MQTT broker, each from a real fault to its alarm, to the overview and to its end."""

import json
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import paho.mqtt.client as paho
import pytest
from devices import heartbeat
from harness import Stack, wait_until
from kaiser_stack import mosquitto
from leaving import leave
from own_ports import own_ports
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from playwright.sync_api import Browser
from watching import Condition, Onlooker, onlooker, overview_has, steps_of

pytestmark = pytest.mark.timeout(1200)

_RETRY_S = 1.0
"""The longest time between two attempts of this stack's ingest, instead of a minute."""
_TEN_FAILURES_S = 9 * _RETRY_S
"""The longest time of ten failures in a row, where connections are refused immediately."""
_THREE_LOSSES_S = 15.0
_SWITCH_S = 2.0
_SOON_S = 3.0
LOST = Condition(
    "broker_session_lost",
    "",
    "warning",
    "^the MQTT broker lost the session: messages that it had queued are gone$",
    "1 alarm: broker session lost",
    "the MQTT broker lost the session",
    _SOON_S,
)
TAKEN_OVER = Condition(
    "broker_session_taken_over",
    "",
    "critical",
    "^another MQTT client uses the client id of ingest$",
    "1 alarm: broker session taken over",
    "another MQTT client uses the client id of ingest",
    _THREE_LOSSES_S,
)
NOT_SWITCHED = Condition(
    "broker_switch_failed",
    "",
    "warning",
    "^profile elsewhere could not be connected, back to live: .*refused",
    "1 alarm: broker switch failed",
    "no connection to broker profile elsewhere, back to live",
    _SWITCH_S + _SOON_S,
)


@pytest.fixture(scope="module")
def plant(server_folder: Path, missing: Any) -> Iterator[Stack]:
    """A stack of this module's own, whose broker it disturbs; at the address of the profile `elsewhere` is none."""
    if not mosquitto.is_installed():
        missing("mosquitto", "mosquitto is not installed")
    elsewhere = {"elsewhere": {"host": "127.0.0.1", "port": own_ports().take()}}
    stack = Stack(
        server_folder / f"broker-{secrets.token_hex(3)}",
        KAISER_MQTT_BROKER="mosquitto",
        KAISER_MQTT_PROFILES=json.dumps(elsewhere),
        KAISER_MQTT_RETRY_S=str(_RETRY_S),
        KAISER_MQTT_SWITCH_S=str(_SWITCH_S),
    )
    try:
        yield stack.start()
    finally:
        stack.stop()
        stack.remove()


@pytest.fixture
def looking(browser: Browser, plant: Stack) -> Iterator[Onlooker]:
    plant.settle()
    with onlooker(browser, plant) as person:
        yield person


def test_a_broker_that_is_away_is_an_alarm_with_its_address_until_it_is_back_and_a_lost_session_is_another(
    plant: Stack, looking: Onlooker
):
    """The broker comes back without what it had stored, so the messages that it had queued are gone."""
    address = f"mqtt://127.0.0.1:{plant.addresses['mqtt_port']}"
    away = Condition(
        "broker_unreachable",
        "ingest.god",
        "critical",
        rf"^the MQTT broker {re.escape(address)} cannot be used, at least one try a minute: .*refused",
        "1 alarm: broker unreachable",
        f"the MQTT broker {address} cannot be used, at least one try a minute",
        _TEN_FAILURES_S + _SOON_S,
    )
    [esp_id] = plant.register(1)
    with plant.sign_in() as rest:
        with broker_away(plant):
            since = time.monotonic()
            alarm = away.becomes(rest, "raised", since)
            assert overview_has(rest, alarm)
            looking.sees(away, alarm)
            looking.reaches(away)
            for stored in (plant.state_dir / "mosquitto").glob("*.db"):
                stored.unlink()
        since = time.monotonic()
        alarm = away._replace(within_s=_RETRY_S + _SOON_S).becomes(rest, "cleared", since)
        assert steps_of(rest, alarm) == ["raised", "cleared"]
        looking.misses(away, alarm, "cleared")
        assert not overview_has(rest, alarm)
        ends_by_acknowledgement(rest, looking, LOST, LOST.becomes(rest, "raised", since))
        plant.publish([heartbeat(esp_id)])
        wait_until(lambda: rest.get(f"/api/v1/esp/devices/{esp_id}").json()["online"], "devices are read again")


@contextmanager
def broker_away(stack: Stack) -> Iterator[None]:
    """The broker has ended for the body, and is started again however that ends."""
    stack.control("stop", "mosquitto")
    try:
        yield
    finally:
        stack.control("start", "mosquitto")


def ends_by_acknowledgement(rest: httpx.Client, looking: Onlooker, condition: Condition, alarm: dict[str, Any]) -> None:
    """The overview names an alarm that nothing ends, until it is acknowledged: then it is closed."""
    assert overview_has(rest, alarm)
    looking.sees(condition, alarm)
    looking.reaches(condition)
    rest.post(f"/api/v1/alarms/{alarm['alarm_id']}/acknowledge", json={}).raise_for_status()
    looking.misses(condition, alarm, "acknowledged")
    assert not overview_has(rest, alarm)
    assert rest.get(f"/api/v1/alarms/{alarm['alarm_id']}").raise_for_status().json()["alarm"]["state"] == "closed"


def test_another_client_with_the_id_of_ingest_is_an_alarm_and_ingest_has_its_session_back(
    plant: Stack, looking: Onlooker
):
    """It connects again whenever ingest takes its session back, as a second installation would."""
    [esp_id] = plant.register(1)
    with plant.sign_in() as rest:
        with connected_as_ingest(plant):
            alarm = TAKEN_OVER.becomes(rest, "raised", time.monotonic())
        ends_by_acknowledgement(rest, looking, TAKEN_OVER, alarm)
        plant.publish([heartbeat(esp_id)])
        wait_until(lambda: rest.get(f"/api/v1/esp/devices/{esp_id}").json()["online"], "ingest reads its messages")


@contextmanager
def connected_as_ingest(stack: Stack) -> Iterator[None]:
    """For the body a client takes over the session of ingest, again and again."""
    wait_until(lambda: mqtt_is_up(stack), "ingest is connected")
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, "kaiser-ingest-god", protocol=paho.MQTTv5)
    client.username_pw_set("kaiser-ingest", (stack.state_dir / "mqtt-ingest-password").read_text().strip())
    properties = Properties(PacketTypes.CONNECT)
    properties.SessionExpiryInterval = 3600
    host, port = stack.addresses["mqtt_host"], stack.addresses["mqtt_port"]
    client.connect(host, port, clean_start=False, properties=properties)
    client.loop_start()
    try:
        yield
    finally:
        leave(client)


def mqtt_is_up(stack: Stack) -> bool:
    port = stack.addresses["metrics_ports"]["ingest"]
    return "\nkaiser_ingest_connected 1.0\n" in httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=10).text


def test_a_profile_whose_broker_is_not_there_is_an_alarm_and_the_former_one_goes_on(plant: Stack, looking: Onlooker):
    [esp_id] = plant.register(1)
    with plant.sign_in() as rest:
        since = time.monotonic()
        refused = rest.post("/api/v1/system/mqtt/profile", json={"profile": "elsewhere"}, timeout=120)
        assert refused.status_code == 502, refused.text
        ends_by_acknowledgement(rest, looking, NOT_SWITCHED, NOT_SWITCHED.becomes(rest, "raised", since))
        assert rest.get("/api/v1/system/mqtt/profile").json()["active"] == "live"
        plant.publish([heartbeat(esp_id)])
        wait_until(lambda: rest.get(f"/api/v1/esp/devices/{esp_id}").json()["online"], "devices are read again")
