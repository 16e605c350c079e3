"""An emergency stop with PostgreSQL away: by a gateway that was started meanwhile, to the device's own topic."""

from typing import Any

import httpx
from esp32 import Device
from harness import wait_until


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=60, verify=False).status_code == 200
    except httpx.TransportError:
        return False


def test_a_gateway_that_starts_without_the_database_carries_a_stop_to_the_device(make_stack: Any):
    stack = make_stack(KAISER_MQTT_BROKER="mosquitto").start()
    [esp_id] = stack.register(1)
    with Device(stack, esp_id) as device, stack.sign_in() as rest:
        wait_until(lambda: rest.get(f"/api/v1/esp/devices/{esp_id}").json()["online"], "the device is online")
        stack.control("kill", "postgres")
        old = stack.pid("websocket-gateway")
        stack.kill("websocket-gateway")
        wait_until(lambda: stack.pid("websocket-gateway") != old, "another gateway process runs")
        wait_until(lambda: _is_ready(stack.addresses["http_url"]), "the gateway is ready without the database")
        form = {"username": "admin", "password": stack.password()}
        refused = httpx.post(f"{stack.addresses['http_url']}/api/v1/auth/token", data=form, timeout=30)
        assert refused.status_code == 503
        assert refused.headers["content-type"] == "application/problem+json"
        stopped = rest.post("/api/v1/actuators/emergency_stop", json={"esp_id": esp_id, "reason": "leak"})
        assert stopped.status_code == 200, stopped.text
        wait_until(lambda: "emergency_stop" in device.emergencies(), "the device is stopped")
