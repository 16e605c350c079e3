"""The firmware of both generations understands health's messages: asserted on what the device did."""

import secrets
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from device_page import unlike_the_page
from firmware_a import FirmwareA
from firmware_b import FirmwareB
from harness import Stack, wait_until

PUMP = {"gpio": 25, "actuator_type": "pump", "actuator_name": "Pump"}
PROBE = "28FF641E8D3C0C79"


@pytest.fixture
def rest(stack: Stack) -> Iterator[httpx.Client]:
    with stack.sign_in() as rest:
        yield rest


@pytest.fixture
def esp_id() -> str:
    return f"ESP_{secrets.token_hex(4).upper()}"


def mqtt(stack: Stack) -> tuple[str, int]:
    return stack.addresses["mqtt_host"], stack.addresses["mqtt_port"]


def registry(rest: httpx.Client, esp_id: str) -> dict[str, Any]:
    answer = rest.get(f"/api/v1/esp/devices/{esp_id}")
    return dict(answer.json()) if answer.is_success else {}


def send(rest: httpx.Client, esp_id: str, what: str, body: dict[str, Any], method: str = "POST") -> None:
    answer = rest.request(method, f"/api/v1/esp/devices/{esp_id}/{what}", json=body if method == "POST" else None)
    assert answer.status_code == 202, answer.text


def admit(rest: httpx.Client, esp_id: str) -> None:
    wait_until(lambda: registry(rest, esp_id).get("state") == "pending", "it is pending")
    assert rest.post(f"/api/v1/esp/devices/{esp_id}/approve").is_success


def last_config(rest: httpx.Client, esp_id: str) -> str | None:
    """The state in which the newest configuration ended."""
    query = {"target": esp_id, "action": "config_response"}
    items = rest.get("/api/v1/audit", params=query).json()["items"]
    return str(items[0]["after"]["state"]) if items else None


def test_generation_b_at_another_site_takes_everything_that_health_sends(stack: Stack, rest: httpx.Client, esp_id: str):
    with FirmwareB(mqtt(stack), esp_id, "north", interval_s=0.3) as device:
        flash = device.board.flash
        admit(rest, esp_id)
        wait_until(lambda: device.registered and not device.pending, "it knows that it is approved")
        wait_until(lambda: registry(rest, esp_id).get("ip"), "the registry has what its heartbeat says")
        seen = registry(rest, esp_id)
        assert (seen["kaiser_id"], seen["generation"], seen["ip"]) == ("north", "B", "192.168.1.57")

        send(rest, esp_id, "config", {"sensors": [{"gpio": 4, "sensor_type": "ds18b20"}], "actuators": [PUMP]})
        wait_until(lambda: last_config(rest, esp_id) == "failed", "a probe without its address is refused")
        assert (flash.sensors, list(flash.actuators)) == ({}, [25])
        probe = {"gpio": 4, "sensor_type": "ds18b20", "onewire_address": PROBE}
        send(rest, esp_id, "config", {"sensors": [probe], "actuators": [PUMP]})
        wait_until(lambda: last_config(rest, esp_id) == "applied", "both lists are taken")
        assert list(flash.sensors) == [(4, "ds18b20", PROBE)]

        send(rest, esp_id, "subzones/bed", {"subzone_name": "Bed", "assigned_gpios": [25]})
        wait_until(lambda: flash.subzones == {"bed": [25]}, "it has its subzone")
        send(rest, esp_id, "subzones/bed", {}, "DELETE")
        wait_until(lambda: flash.subzones == {}, "it has left its subzone")

        send(rest, esp_id, "command", {"command": "set_emergency_token", "params": {"token": "s3cret"}})
        wait_until(lambda: flash.token == "s3cret", "it has a token")
        flash.actuators[25].on = True
        stop = {"esp_id": esp_id, "reason": "water on the floor"}

        def stopped() -> bool:
            rest.post("/api/v1/actuators/emergency_stop", json=stop)
            return not flash.actuators[25].on

        wait_until(stopped, "an emergency carries the device's own token")
        assert "s3cret" not in str(registry(rest, esp_id))
        assert device.board.dropped == []
        assert unlike_the_page(device.board) == []


def test_generation_a_is_configured_and_taken_into_a_zone(stack: Stack, rest: httpx.Client, esp_id: str):
    with FirmwareA(mqtt(stack), esp_id, interval_s=0.3) as device:
        flash = device.board.flash
        admit(rest, esp_id)
        sensor = {"gpio": 34, "sensor_type": "ph", "sensor_name": "pH"}
        send(rest, esp_id, "config", {"sensors": [sensor], "actuators": []})
        wait_until(lambda: last_config(rest, esp_id) == "applied", "a list that was not sent is no error")
        assert len(flash.sensors) == 1
        send(rest, esp_id, "zone", {"zone_id": "greenhouse"})
        wait_until(lambda: registry(rest, esp_id).get("zone_id") == "greenhouse", "it is in its zone")
        assert (flash.zone.zone_id, flash.zone.zone_name) == ("greenhouse", "")

        heard = len(device.board.heard)
        many = [{"gpio": gpio, "sensor_type": "ph", "sensor_name": "n" * 60} for gpio in range(30)]
        refused = rest.post(f"/api/v1/esp/devices/{esp_id}/config", json={"sensors": many, "actuators": []})
        assert (refused.status_code, refused.json()["code"]) == (422, 5003)
        assert not [each for each in device.board.heard[heard:] if each.topic.endswith("/config")]

        flash.zone.zone_id = ""
        send(rest, esp_id, "zone", {"zone_id": None})
        wait_until(lambda: registry(rest, esp_id).get("zone_id") is None, "its heartbeat says that it left its zone")

        device.board.boot_at -= 3600
        wait_until(lambda: registry(rest, esp_id)["uptime"] >= 3600, "it has run for an hour")
        device.board.power_cut()
        wait_until(lambda: registry(rest, esp_id)["online"] is False, "its will takes it offline at once")
        device.board.power_on()
        wait_until(lambda: registry(rest, esp_id)["online"] is True, "it is online")
        wait_until(lambda: registry(rest, esp_id)["boot"] == 1, "its restart is seen")
        assert device.board.dropped == []
        assert unlike_the_page(device.board) == []
