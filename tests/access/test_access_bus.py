"""On the bus everybody may do what the work needs, and is refused all else."""

from pathlib import Path

import pytest
from claimed import holds
from kaiser_deploy.grants import grants
from kaiser_deploy.nats_users import render
from kaiser_deploy.secret_files import BUS_USERS
from secured import DEPLOY, ROOT, Secured, connect, refusal

USERS = [each.user for each in grants()]

REFUSED = [
    # A sensor answers devices that show its value; it commands no actuator and stops none.
    ("sensor", "publish", "mqtt.out.god.ESP_0A1B2C3D.command.5"),
    ("sensor", "publish", "mqtt.urgent.god.ESP_0A1B2C3D"),
    *((user, "publish", "mqtt.out.god.ESP_0A1B2C3D.stop") for user in ("sensor", "health", "simulator")),
    *((user, "publish", "mqtt.out.god.ESP_0A1B2C3D.setup") for user in ("sensor", "actuator", "simulator")),
    ("sensor", "publish", "rpc.actuator.command"),
    ("sensor", "publish", "event.actuator_status.ESP_0A1B2C3D"),
    ("sensor", "publish", "esp.sensor.data.god.ESP_0A1B2C3D.4"),
    ("sensor", "publish", "$KV.devices.ESP_0A1B2C3D"),
    ("sensor", "publish", "$JS.ACK.DEVICES.health.1.1.1.1.0"),
    # Rules see events, not what devices sent, and act through the actuator service alone.
    ("logic", "subscribe", "esp.sensor.data.>"),
    ("logic", "publish", "$JS.API.CONSUMER.CREATE.SENSORS.x.esp.sensor.data.>"),
    ("logic", "publish", "$JS.API.CONSUMER.MSG.NEXT.SENSORS.sensor-store"),
    ("logic", "publish", "mqtt.out.god.ESP_0A1B2C3D.setup"),
    ("logic", "publish", "mqtt.out.god.ESP_0A1B2C3D.command.5"),
    ("logic", "publish", "rpc.health.delete"),
    ("logic", "publish", "$KV.lease.ingest.god"),
    # The gateway asks the owners; it writes nothing by itself.
    ("websocket-gateway", "publish", "mqtt.urgent.god.ESP_0A1B2C3D"),
    ("websocket-gateway", "publish", "event.sensor_data.ESP_0A1B2C3D"),
    ("websocket-gateway", "publish", "$KV.devices.ESP_0A1B2C3D"),
    ("websocket-gateway", "subscribe", "esp.>"),
    ("websocket-gateway", "subscribe", "rpc.ingest.*"),
    ("simulator", "publish", "esp.sensor.data.god.MOCK_1.4"),
    ("simulator", "publish", "$KV.lease.ingest.god"),
    ("health", "publish", "mqtt.urgent.god.ESP_0A1B2C3D"),
    ("actuator", "publish", "$JS.API.STREAM.PURGE.SENSORS"),
    ("ingest", "publish", "$KV.devices.ESP_0A1B2C3D"),
    ("ingest", "publish", "mqtt.out.god.ESP_0A1B2C3D.stop"),
    ("migrate", "publish", "$JS.API.STREAM.DELETE.SENSORS"),
    ("migrate", "publish", "esp.sensor.data.god.ESP_0A1B2C3D.4"),
]

OF_NO_SERVICE = [
    "$JS.API.STREAM.CREATE.SENSORS",
    "$JS.API.STREAM.UPDATE.SENSORS",
    "$JS.API.STREAM.DELETE.SENSORS",
    "$JS.API.STREAM.MSG.DELETE.SENSORS",
    "$JS.API.CONSUMER.DURABLE.CREATE.SENSORS.sensor-store",
    "$JS.API.CONSUMER.CREATE.SENSORS.sensor-store",
    "$JS.API.CONSUMER.CREATE.DEVICES.health",
    "$JS.API.CONSUMER.CREATE.OUTBOX.ingest",
    "$JS.API.CONSUMER.DELETE.SENSORS.sensor-store",
    "$SYS.REQ.SERVER.PING",
]


def test_as_many_rights_are_tried_as_the_page_says():
    holds("publishes and subscriptions on the bus beyond a service's rights", len(REFUSED))


def test_the_file_is_what_the_grants_say():
    assert (DEPLOY / "nats/users.conf").read_text() == render(grants()), "run `make grants`"


def test_each_service_has_a_user_and_each_user_a_password():
    services = {path.name for path in (ROOT / "services").iterdir() if path.is_dir()}
    assert services | {"migrate", "doctor"} == set(USERS) == set(BUS_USERS)


@pytest.mark.parametrize(("user", "verb", "subject"), REFUSED, ids=str)
async def test_what_is_none_of_a_users_business_is_refused(bus: Secured, user: str, verb: str, subject: str):
    assert "permissions violation" in (await refusal(bus, user, verb, subject)).lower()


@pytest.mark.parametrize("user", [user for user in USERS if user != "migrate"])
async def test_no_service_alters_what_the_migration_declares(bus: Secured, user: str):
    for subject in OF_NO_SERVICE:
        assert "permissions violation" in (await refusal(bus, user, "publish", subject)).lower(), subject


@pytest.mark.parametrize("user", USERS)
async def test_nobody_hears_another_users_answers(bus: Secured, user: str):
    for subject in [">", "_INBOX.>", *(f"_INBOX.{other}.>" for other in USERS if other != user)]:
        assert "permissions violation" in (await refusal(bus, user, "subscribe", subject)).lower(), subject
    assert await refusal(bus, user, "subscribe", f"_INBOX.{user}.abc.*") == ""


async def test_nobody_listens_in_on_requests_beside_the_group_that_answers_them(bus: Secured):
    assert "permissions violation" in (await refusal(bus, "actuator", "subscribe", "rpc.actuator.*")).lower()
    assert await refusal(bus, "actuator", "subscribe", "rpc.actuator.* actuator") == ""


@pytest.mark.parametrize(("user", "password"), [("sensor", "wrong"), ("nobody", "x"), ("", "")])
async def test_without_the_right_password_nobody_is_let_in(bus: Secured, user: str, password: str):
    with pytest.raises(Exception, match=r"(?i)authorization"):
        await connect(bus, user, lambda _: None, password or "none")


def test_no_password_is_in_the_repository(secrets_folder: Path):
    for path in [*DEPLOY.rglob("*.conf"), *DEPLOY.rglob("*.sql"), ROOT / "compose.yaml"]:
        text = path.read_text()
        assert 'password: "' not in text, path
        assert not any(
            (secrets_folder / name).read_text().strip() in text for name in ("nats-ingest", "admin-password")
        )
