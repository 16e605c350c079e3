"""The gateway of a whole stack, by REST and WebSocket."""

import httpx
from harness import ROOT, Stack, wait_until


def services_of(stack: Stack) -> dict[str, dict]:
    status = httpx.get(f"{stack.addresses['http_url']}/api/v1/system/status", timeout=60, verify=False).json()
    return {service["service"]: service for service in status["services"]}


def test_every_service_that_runs_is_told_and_a_killed_one_is_down_and_comes_back(stack: Stack):
    running = {line.partition(":")[0] for line in (ROOT / "Procfile").read_text().splitlines() if ":" in line}
    wait_until(lambda: all(services_of(stack)[name]["ready"] for name in running), "every service is ready")
    wait_until(lambda: services_of(stack)["sensor"]["lag"] == 0, "sensor has stored what other tests have sent")
    stack.control("kill", "sensor")
    wait_until(lambda: not services_of(stack)["sensor"]["up"], "sensor is told down")
    assert services_of(stack)["ingest"]["up"]
    stack.control("start", "sensor")
    wait_until(lambda: services_of(stack)["sensor"]["ready"], "sensor is back")
