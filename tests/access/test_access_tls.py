"""With the certificates of `make certs` broker and bus speak TLS, and no stranger's certificate is believed."""

import asyncio
import queue
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import paho.mqtt.client as paho
import pytest
import secured
from kaiser_common.bus.connection import connect
from kaiser_common.runtime.settings import CommonSettings
from kaiser_deploy import certificates, secret_files
from leaving import leave
from secured import Secured


@pytest.fixture(scope="module")
def certified(server_folder: Path) -> Path:
    """Secrets and certificates, for the bus too."""
    folder = server_folder / "certified"
    secret_files.make(folder)
    certificates.make(folder, ["localhost", "127.0.0.1"], bus=True)
    return folder


@pytest.fixture(scope="module")
def tls_bus(server_folder: Path, certified: Path, free_port: Callable[[], int]) -> Iterator[Secured]:
    folder = server_folder / "tls-bus"
    with secured.nats_server(folder, certified, free_port(), free_port()) as server:
        yield server


def settings(server: Secured, authority: Path, scheme: str = "tls") -> CommonSettings:
    return CommonSettings(
        nats_url=f"{scheme}://127.0.0.1:{server.port}",
        nats_tls_ca_file=str(authority),
        nats_user="sensor",
        nats_password=server.secret("nats-sensor"),
        nats_inbox_prefix="_INBOX.sensor",
    )


async def test_a_service_reaches_the_bus_by_tls(tls_bus: Secured, certified: Path):
    async with asyncio.timeout(60), connect(settings(tls_bus, certified / "authority/ca.crt"), "sensor") as bus:
        await bus.round_trip()


async def test_a_service_does_not_believe_another_authority(tls_bus: Secured, tmp_path: Path):
    secret_files.make(tmp_path)
    certificates.make(tmp_path, ["127.0.0.1"], bus=False)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(2), connect(settings(tls_bus, tmp_path / "authority/ca.crt"), "sensor"):
            pass


def test_a_device_reaches_the_broker_by_tls(
    server_folder: Path, certified: Path, free_port: Callable[[], int], missing: Callable[[str, str], None]
):
    from kaiser_stack import mosquitto

    if not mosquitto.is_installed():
        missing("mosquitto", "mosquitto is not installed")
    port = free_port()
    tls = certified / "mosquitto/conf.d/tls.conf"
    text = tls.read_text().replace("listener 8883", f"listener {port} 127.0.0.1")
    tls.write_text(text.replace("/mosquitto/tls", str(certified / "tls")))
    with secured.mosquitto(server_folder / "tls-broker", certified, free_port()) as broker:
        codes: queue.Queue[int] = queue.Queue()
        client = paho.Client(paho.CallbackAPIVersion.VERSION2)
        client.tls_set_context(ssl.create_default_context(cafile=str(certified / "authority/ca.crt")))
        client.username_pw_set("kaiser-probe", broker.secret("mqtt-probe"))
        client.on_connect = lambda _, __, ___, reason, ____: codes.put(reason.value)
        client.connect("127.0.0.1", port)
        client.loop_start()
        try:
            assert codes.get(timeout=60) == 0
        finally:
            leave(client)
        stranger = paho.Client(paho.CallbackAPIVersion.VERSION2)
        stranger.tls_set_context(ssl.create_default_context())
        with pytest.raises(ssl.SSLCertVerificationError):
            stranger.connect("127.0.0.1", port)


def test_the_authoritys_key_is_its_owners_alone_and_no_container_sees_it(certified: Path):
    assert (certified / "ca.key").stat().st_mode & 0o777 == 0o600
    certificates.make_cluster(certified, ["nats-0.nats-peers"])
    assert (certified / "cluster-ca.key").stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in certified.rglob("*ca.key")) == ["ca.key", "cluster-ca.key"]
    text = (secured.ROOT / "compose.yaml").read_text()
    assert "ca.key" not in text
    assert "ca.key" not in (secured.ROOT / "deploy/kubernetes/secrets.sh").read_text()
    assert ".kaiser-secrets}:" not in text


def test_a_second_certificate_is_signed_by_the_same_authority(certified: Path):
    before, server = (certified / "authority/ca.crt").read_bytes(), (certified / "tls/server.crt").read_bytes()
    certificates.make(certified, ["broker.example.org", "127.0.0.1"], bus=True)
    assert (certified / "authority/ca.crt").read_bytes() == before
    assert (certified / "tls/server.crt").read_bytes() != server
