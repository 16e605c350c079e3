"""The promise of the native stack, kept by the containers: the same tests, with devices that have to sign in."""

import json

import httpx
import pytest
from compose_stack import UP_WITHIN_S, ComposeStack, docker
from harness import reading, wait_until

from tests.integration.test_system_line import (  # noqa: F401 - these are the tests
    BASE_MS,
    devices,
    test_a_thousand_readings_are_stored_and_shown_once_and_fifty_bad_ones_are_kept_with_their_codes,
    test_live_values_go_on_without_the_database_and_the_store_catches_up,
    test_nothing_is_lost_or_doubled_when_ingest_is_killed_in_the_middle,
    test_the_same_thousand_again_leave_a_thousand_rows,
)


def image_of(stack: ComposeStack, service: str) -> str:
    images = stack.compose("config", "--images", service).split()  # those that it depends on are named too
    return next(each for each in images if each.startswith(f"kaiser/{service}:"))


SERVICES = {"ingest", "sensor", "actuator", "health", "logic", "alarm", "simulator", "websocket-gateway"}


def test_a_device_without_a_password_or_with_a_wrong_one_is_not_let_in(stack: ComposeStack):
    stack.admit(["TEST_WRONG"])
    with stack.device("TEST_WRONG"):
        pass
    for password in ("", "wrong"):
        with pytest.raises(AssertionError, match="let in"), stack.device("TEST_WRONG", password, 2.0):
            pass


def test_three_sensors_share_the_work(stack: ComposeStack, devices: list[str]):  # noqa: F811
    scaled = ("--no-recreate", "--no-deps", "--no-build", "--scale", "sensor=3", "sensor")
    stack.compose("up", "--wait", "--detach", *scaled, within_s=UP_WITHIN_S)
    assert len(stack.compose("ps", "--quiet", "sensor").split()) == 3
    stack.publish([reading(esp_id, 4, BASE_MS + 1000 * n, 20.0) for esp_id in devices for n in range(20)])
    wait_until(lambda: stack.rows(devices) >= 1000, "1000 rows", 240.0)
    assert stack.rows(devices) == 1000


MILLING = {
    "headerId": 41,
    "timestamp": "2026-02-02T04:10:00.250Z",
    "serialNumber": "SVRT10003",
    "orderId": "5b0c6d0e-3f4b-4f60-9b1e-0a1f5c2d7e31",
    "orderUpdateId": 8,
    "paused": False,
    "loads": [{"loadType": "WHITE"}],
    "actionState": {"id": "0d9e7a10-1111-4c1d-8a51-5e0b6a7c8d01", "command": "MILL", "state": "RUNNING"},
    "errors": [],
    "metadata": {"opcuaState": "connected"},
}
"""The state of a module, of the handed vectors."""


def test_a_machine_at_the_broker_is_shown_and_the_sandbox_can_be_entered_and_left(stack: ComposeStack):
    topic = "module/v1/ff/SVRT10003/state"
    with stack.sign_in() as rest, stack.client("kaiser-factory", stack.secret("mqtt-factory")) as machine:

        def shown() -> bool:
            machine.publish(topic, json.dumps(MILLING), qos=1)
            modules = rest.get("/api/v1/factory/modules").json().get("items", [])
            return "SVRT10003" in {each["serial"] for each in modules}

        wait_until(shown, "the module is shown", 120.0)
        for profile in ("mock", "live"):
            answer = rest.post("/api/v1/factory/environment", json={"profile": profile}, timeout=120)
            assert answer.status_code == 200, answer.text
            assert answer.json()["env"] == profile


def test_no_part_ran_as_root_or_could_write_its_root_or_gain_rights(stack: ComposeStack):
    for container in stack.compose("ps", "--all", "--quiet").split():
        found = json.loads(docker("inspect", container))[0]
        host, name = found["HostConfig"], found["Name"]
        assert host["ReadonlyRootfs"], name
        assert host["CapDrop"] == ["ALL"], name
        assert "no-new-privileges:true" in host["SecurityOpt"], name
        assert not host["Privileged"], name
        if "nats-data" not in name:  # the job that gives a new volume its owner, without a network
            assert found["Config"]["User"].partition(":")[0] not in ("", "0", "root"), name
            assert not host["CapAdd"], name


def test_only_broker_gateway_and_grafana_are_published_and_only_on_this_machine(stack: ComposeStack):
    published = {}
    for container in stack.compose("ps", "--quiet").split():
        found = json.loads(docker("inspect", container))[0]
        bindings = [each for ports in (found["NetworkSettings"]["Ports"] or {}).values() for each in ports or []]
        if bindings:
            published[found["Config"]["Labels"]["com.docker.compose.service"]] = {each["HostIp"] for each in bindings}
    assert published.keys() - {"grafana"} == {"mosquitto", "websocket-gateway"}
    assert all(hosts == {"127.0.0.1"} for hosts in published.values())


@pytest.mark.parametrize("service", ["websocket-gateway", "migrate"])
def test_an_image_has_no_build_tools_and_says_what_it_is(stack: ComposeStack, service: str):
    name = image_of(stack, service)
    tools = "for tool in pip pip3 gcc cc make git uv; do command -v $tool && exit 1; done"
    script = f"{tools}; python -c 'import pip' 2> /dev/null && exit 1; id -u"
    found = docker("run", "--rm", "--network", "none", "--read-only", "--entrypoint", "sh", name, "-c", script)
    assert found.strip() == "10001"
    labels = json.loads(docker("inspect", name))[0]["Config"]["Labels"]
    assert labels["org.opencontainers.image.title"] == f"kaiser-{service}"
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"


@pytest.mark.parametrize("service", ["ingest", "migrate"])
def test_an_image_holds_its_own_sbom(stack: ComposeStack, service: str):
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator  # takes seconds, so only where it is used

    name = image_of(stack, service)
    place = json.loads(docker("inspect", name))[0]["Config"]["Labels"]["io.kaiser.sbom"]
    text = docker("run", "--rm", "--network", "none", "--entrypoint", "cat", name, place)
    told = json.loads(text)
    parts = {part["name"] for part in told["components"]}
    few = json.dumps(told | {"components": told["components"][::8]})  # the validator takes a second for each
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(few) is None
    assert {"kaiser-common", "kaiser-ingest", "nats-py", "pydantic"} <= parts
    assert ("kaiser-sensor" in parts) == (service == "migrate")


def test_the_common_image_has_the_doctor_and_the_command_line(stack: ComposeStack):
    image = image_of(stack, "migrate")
    assert "Usage: kaiser" in docker("run", "--rm", "--network", "none", "--entrypoint", "kaiser", image, "--help")
    assert "usage" in docker("run", "--rm", "--network", "none", "--entrypoint", "kaiser-doctor", image, "--help")


def test_prometheus_finds_every_service_and_grafana_loads_its_dashboards(stack: ComposeStack):
    def up() -> set[str]:
        query = "http://127.0.0.1:9090/api/v1/query?query=up%7Bjob%3D%22kaiser%22%7D%3D%3D1"
        answer = json.loads(stack.compose("exec", "-T", "prometheus", "wget", "-q", "-O", "-", query))
        return {each["metric"]["service"] for each in answer["data"]["result"]}

    wait_until(lambda: up() == {*SERVICES, "factory", "recorder"}, "Prometheus finds every service", 200.0)
    url = f"http://127.0.0.1:{stack.environment['KAISER_GRAFANA_PORT']}"
    found = httpx.get(
        f"{url}/api/search?type=dash-db", auth=("admin", stack.secret("grafana-admin")), timeout=10
    ).json()
    assert {"Overview", "Devices", "Sensors", "Services", "Bus"} <= {
        each["title"].rpartition(" / ")[2] for each in found
    }


def test_the_status_of_the_system_names_every_service(stack: ComposeStack):
    with stack.sign_in() as rest:
        assert {each["service"] for each in rest.get("/api/v1/system/status").json()["services"]} >= SERVICES


def test_after_all_of_this_the_bus_has_refused_nobody_anything(stack: ComposeStack):
    refused = [line for line in stack.log_of("nats").splitlines() if "Violation" in line]
    assert refused == []
