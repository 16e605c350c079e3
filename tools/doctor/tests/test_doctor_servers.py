"""The doctor before real servers, each with one fault."""

import asyncio
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import nats
import psycopg
import pytest
from kaiser_common.contract.subjects import SERVICES
from kaiser_doctor import broker, bus, database, passwords, services
from kaiser_doctor.findings import Finding, Light
from kaiser_doctor.settings import DoctorSettings, of_stack
from kaiser_stack import mosquitto as mosquitto_program
from kaiser_stack import nats as nats_program
from kaiser_stack.errors import NotReadyError
from kaiser_stack.ports import LOOPBACK


def reds(findings: list[Finding]) -> dict[str, str]:
    return {finding.about: finding.text for finding in findings if finding.level is Light.RED}


@pytest.fixture
def settings(bus_settings, tmp_path) -> DoctorSettings:
    return DoctorSettings(nats_url=bus_settings.nats_address, state_dir=tmp_path)


async def test_a_bus_as_declared_has_nothing_red(settings):
    findings = await bus.look(settings)
    assert reds(findings) == {}
    assert "clock" in {finding.about for finding in findings}


async def altered(settings: DoctorSettings, method: str, request: dict) -> None:
    client = await nats.connect(settings.nats_address)
    reply = json.loads((await client.request(f"$JS.API.{method}", json.dumps(request).encode(), timeout=30)).data)
    assert "error" not in reply, reply
    await client.close()


async def test_a_stream_that_differs_is_red(settings):
    client = await nats.connect(settings.nats_address)
    config = json.loads((await client.request("$JS.API.STREAM.INFO.REJECTED", b"", timeout=30)).data)["config"]
    await client.close()
    await altered(settings, "STREAM.UPDATE.REJECTED", {**config, "max_bytes": 1024**2})
    assert reds(await bus.look(settings)) == {"stream REJECTED": "max_bytes is 1048576, declared 1073741824"}


async def test_a_stream_a_bucket_and_a_consumer_that_are_missing_are_red(settings):
    await altered(settings, "CONSUMER.DELETE.SENSORS.sensor-store", {})
    await altered(settings, "STREAM.DELETE.EVENTS", {})
    await altered(settings, "STREAM.DELETE.KV_lease", {})
    found = reds(await bus.look(settings))
    assert {"consumer sensor-store", "stream EVENTS", "stream KV_lease"} <= set(found)


async def test_a_consumer_of_nobody_is_red(settings):
    config = {"durable_name": "old", "ack_policy": "explicit", "filter_subject": "esp.zone.>"}
    await altered(settings, "CONSUMER.DURABLE.CREATE.DEVICES.old", {"stream_name": "DEVICES", "config": config})
    assert set(reds(await bus.look(settings))) == {"consumer old"}


async def test_a_consumer_that_does_not_get_on_is_red(settings, monkeypatch):
    monkeypatch.setattr(bus, "_STUCK_S", 0.0)
    client = await nats.connect(settings.nats_address)
    await client.jetstream().publish("esp.sensor.data.god.ESP_1.4", b"{}")
    await client.close()
    found = reds(await bus.look(settings))
    assert found["consumer sensor-store"].startswith("1 messages wait and none was acknowledged")
    assert "consumer health" not in found


@pytest.mark.parametrize(("sync", "expected"), [("sync_interval: always", False), ("", True)])
async def test_a_nats_that_does_not_sync_is_red_by_its_monitoring(nats_factory, free_port, monkeypatch, sync, expected):
    port = free_port()
    config = nats_program._CONFIG.replace("sync_interval: always", sync)
    monkeypatch.setattr(nats_program, "_CONFIG", f"http: 127.0.0.1:{port}\n{config}")
    nats_factory()
    found = bus._server(DoctorSettings(doctor_nats_monitor_url=f"http://127.0.0.1:{port}"))
    assert bool(reds(found)) is expected


async def test_a_nats_that_is_away_is_red(free_port):
    found = await bus.look(DoctorSettings(nats_url=f"nats://127.0.0.1:{free_port()}"))
    assert set(reds(found)) == {"NATS"}


def listens(server: nats_program.Nats | mosquitto_program.Mosquitto) -> None:
    """Ready once it takes connections, of whom it then asks a password."""
    try:
        socket.create_connection((LOOPBACK, server.port), timeout=1.0).close()
    except OSError as error:
        raise NotReadyError(str(error)) from error


async def test_a_nats_with_passwords_lets_nobody_in(nats_factory, monkeypatch):
    users = 'authorization { users: [ { user: "doctor", password: "hQ5x-92Vkd-pp31" } ] }\n'
    monkeypatch.setattr(nats_program, "_CONFIG", users.replace("{", "{{").replace("}", "}}") + nats_program._CONFIG)
    monkeypatch.setattr(nats_program.Nats, "probe", listens)
    url = nats_factory().url
    assert set(reds(await bus.look(DoctorSettings(nats_url=url)))) == {"NATS"}
    for settings in (
        DoctorSettings(nats_url=url, nats_user="doctor", nats_password="hQ5x-92Vkd-pp31"),
        DoctorSettings(nats_url=url.replace("//", "//doctor:hQ5x-92Vkd-pp31@")),
    ):
        findings = await bus.look(settings)
        assert "lets nobody in without a password" in {finding.text for finding in findings}


def at(server, **more) -> DoctorSettings:
    return DoctorSettings(mqtt_host=server.host, mqtt_port=server.port, **more)


async def test_a_broker_that_keeps_everything_is_green(mosquitto):
    findings = await broker.look(at(mosquitto, doctor_mosquitto_conf=mosquitto.server.home / "mosquitto.conf"))
    assert {finding.level for finding in findings} == {Light.GREEN}, findings


async def test_natss_own_listener_is_known(nats_mqtt):
    findings = await broker.look(at(nats_mqtt))
    [warning] = [finding for finding in findings if finding.level is Light.YELLOW]
    assert "speaks MQTT 3.1.1, where a message has no expiry" in warning.text
    assert "ingest has no will" in warning.text
    assert "clean session" in warning.fix
    assert "NATS's own listener: sessions and queues are JetStream's" in {finding.text for finding in findings}


async def test_a_broker_that_is_away_or_refuses_us_is_red(free_port, mosquitto_factory, monkeypatch):
    found = await broker.look(DoctorSettings(mqtt_port=free_port()))
    assert "refused" in reds(found)["MQTT broker"]
    monkeypatch.setattr(mosquitto_program.Mosquitto, "_access", lambda _: "allow_anonymous false\n")
    monkeypatch.setattr(mosquitto_program.Mosquitto, "probe", listens)
    found = await broker.look(at(mosquitto_factory(), mqtt_username="ingest", mqtt_password="wrong"))
    assert "Not authorized" in reds(found)["MQTT broker"]


def flood(server) -> None:
    """Fifty messages for a client with a session that is not there."""
    arguments = ["-h", server.host, "-p", str(server.port), "-q", "1", "-t", "flood/x"]
    subscribe = ["mosquitto_sub", *arguments, "-c", "-i", "absent", "-E"]
    try:
        subprocess.run(subscribe, check=True, timeout=20, capture_output=True)
    except FileNotFoundError:
        pytest.skip("mosquitto-clients are not installed")
    publish = ["mosquitto_pub", *arguments, "-l"]
    subprocess.run(publish, check=True, timeout=20, capture_output=True, input=b"x\n" * 50)


async def test_a_broker_that_drops_is_red(mosquitto_factory, monkeypatch):
    config = mosquitto_program._CONFIG.replace("messages 1000000", "messages 10").replace("interval 5", "interval 1")
    monkeypatch.setattr(mosquitto_program, "_CONFIG", config)
    server = mosquitto_factory()
    await asyncio.to_thread(flood, server)
    for _ in range(20):
        found = reds(await broker.look(at(server, doctor_mosquitto_conf=server.server.home / "mosquitto.conf")))
        if found:
            break
    assert "drops silently what exceeds 10 messages" in found["MQTT broker"]
    seen = await asyncio.to_thread(broker._connect, at(server), "", "")
    assert reds(broker.of_statistics(seen))["MQTT broker"].startswith("has dropped 40 messages")


async def test_a_database_of_tests_forgets_and_says_so(make_database):
    found = await database.look(DoctorSettings(database_url=make_database()))
    texts = {finding.text for finding in found if finding.level is Light.RED}
    assert any(text.startswith("fsync is off") for text in texts), texts
    assert "every schema is at its service's version" in {finding.text for finding in found}


async def test_tables_that_are_missing_or_old_are_red(postgres_server, make_database):
    postgres_server.execute("CREATE DATABASE doctor_empty")
    found = reds(await database.look(DoctorSettings(database_url=postgres_server.database_url("doctor_empty"))))
    assert found["schema sensor"].startswith("is not there, its service needs")
    url = make_database()
    with psycopg.connect(url) as connection:
        connection.execute("UPDATE health.alembic_version SET version_num = '0001'")
    found = reds(await database.look(DoctorSettings(database_url=url)))
    assert found["schema health"].startswith("is 0001, its service needs")


async def test_a_missing_partition_for_tomorrow_is_told(make_database):
    url = make_database()

    async def told() -> bool:
        findings = await database.look(DoctorSettings(database_url=url))
        return any(f.level is Light.YELLOW and "sensor.data has no partition for tomorrow" in f.text for f in findings)

    if "timescaledb" in str([finding.text for finding in await database.look(DoctorSettings(database_url=url))]):
        pytest.skip("TimescaleDB makes its chunks by itself")
    assert await told()
    day = datetime.now(UTC) + timedelta(days=1)
    with psycopg.connect(url) as connection:
        connection.execute(
            f"CREATE TABLE sensor.data_{day:%Y%m%d} PARTITION OF sensor.data"
            f" FOR VALUES FROM ('{day:%Y-%m-%d}') TO ('{day + timedelta(days=1):%Y-%m-%d}')"
        )
    assert not await told()


async def test_a_role_without_rights_is_told_what_it_cannot_see(postgres_server, make_database):
    url = make_database()
    postgres_server.execute("DROP ROLE IF EXISTS doctor_nobody")
    postgres_server.execute("CREATE ROLE doctor_nobody LOGIN")
    found = await database.look(DoctorSettings(database_url=url.replace("postgres@", "doctor_nobody@", 1)))
    unseen = {finding.about for finding in found if finding.level is Light.UNSEEN}
    assert {"schema sensor", "schema health"} <= unseen
    assert "schema sensor" not in reds(found)


async def test_a_slot_that_nobody_reads_is_red(postgres_factory):
    server = postgres_factory()
    with psycopg.connect(server.url) as connection:
        connection.execute("SELECT pg_create_physical_replication_slot('forgotten', true)")
    found = await database.look(DoctorSettings(database_url=server.url))
    [text] = [finding.text for finding in found if "slot" in finding.text]
    assert text.startswith("slot forgotten is idle")


async def test_a_database_that_is_away_is_red(free_port):
    found = await database.look(DoctorSettings(database_url=f"postgresql://x@127.0.0.1:{free_port()}/x"))
    assert set(reds(found)) == {"database"}


async def test_services_that_nobody_started_are_red(settings):
    found = reds(await services.look(settings))
    assert {"service ingest", "service sensor"} <= set(found)


@pytest.fixture
def gateway() -> Iterator[str]:
    """A gateway whose services are all ready but sensor."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            services = [
                {"service": name, "up": True, "ready": True, "replicas": [replica(name)]}
                for name in SERVICES
                if name != "sensor"
            ]
            body = {"at": 0, "status": "degraded", "bus": "ok", "services": services}
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *_: object) -> None:
            pass

    def replica(name: str) -> dict:
        return {"service": name, "replica": "a", "version": "1", "started_at": 0, "ready": True}

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


async def test_the_gateway_is_asked_where_the_bus_gives_no_answer(settings, gateway, free_port):
    asked = settings.model_copy(update={"doctor_gateway_url": gateway})
    assert set(reds(await services.look(asked))) == {"service sensor"}
    nobody = settings.model_copy(update={"doctor_gateway_url": f"http://127.0.0.1:{free_port()}"})
    assert set(reds(await services.look(nobody))) == {"service websocket-gateway"}


def test_files_of_secrets_that_others_can_read_are_red(tmp_path):
    file = tmp_path / "admin-password"
    file.write_text("hQ5x-92Vkd-pp31")
    file.chmod(0o600)
    settings = DoctorSettings(admin_password_file=file)
    assert reds(passwords.look(settings)) == {}
    file.chmod(0o644)
    assert "everybody" in reds(passwords.look(settings))["secrets"]
    file.unlink()
    assert "is not there" in reds(passwords.look(settings))["secrets"]


def test_addresses_of_a_native_stack_are_found(tmp_path, monkeypatch):
    addresses = {
        "nats_url": "nats://127.0.0.1:4333",
        "database_url": "postgresql://x",
        "mqtt_host": "127.0.0.1",
        "mqtt_port": 1999,
        "metrics_ports": {"ingest": 8001},
        "http_url": "http://127.0.0.1:8000",
    }
    found = of_stack(addresses, DoctorSettings(state_dir=tmp_path))
    assert found["nats_url"] == "nats://127.0.0.1:4333"
    assert found["doctor_ingest_url"] == "http://127.0.0.1:8001"
    monkeypatch.setenv("KAISER_NATS_URL", "nats://mine")
    assert "nats_url" not in of_stack(addresses, DoctorSettings(state_dir=tmp_path))


def test_the_command_ends_with_1_when_something_is_red(tmp_path, free_port):
    environment = {
        "KAISER_STATE_DIR": str(tmp_path),
        "KAISER_NATS_PORT": str(free_port()),
        "KAISER_MQTT_PORT": str(free_port()),
        "KAISER_DATABASE_URL": f"postgresql://x@127.0.0.1:{free_port()}/x",
    }
    command = [str(Path(sys.executable).parent / "kaiser-doctor"), "--quiet"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1, done.stderr
    assert "red     database: does not take us" in done.stdout
    assert done.stdout.splitlines()[:2] == [
        "red     Kaiser: does not run here: neither NATS nor the MQTT broker nor the database answers",
        "          → make run starts it, in containers make up",
    ]
    assert done.stderr == ""
    bad = subprocess.run(
        command, env={"KAISER_NATS_PORT": "x"}, capture_output=True, text=True, timeout=60, check=False
    )
    assert (bad.returncode, "KAISER_NATS_PORT" in bad.stderr) == (2, True)
