"""The end of the certificate that devices get is reported before it comes, from a real broker with TLS."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from kaiser_common.contract.standing import StandingWatch
from kaiser_ingest.jobs.certificates import CertificateWatch, certificates_seen, end_of
from kaiser_ingest.jobs.conditions import bounds_of
from kaiser_ingest.settings import IngestSettings
from kaiser_stack.process import Child, Program

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SOURCE = "ingest.god"


@pytest.mark.parametrize(
    ("ends", "days", "broker"),
    [
        ([], "30", None),
        ([timedelta(days=31)], "30", None),
        ([timedelta(days=29, hours=23)], "30", "broker-0:8883"),
        ([timedelta(days=400), timedelta(days=2)], "30", "broker-1:8883"),
        ([timedelta(days=2)], "1", None),
        ([timedelta(days=-3)], "30", "broker-0:8883"),
        ([timedelta(days=-3)], "0", "broker-0:8883"),
    ],
)
def test_the_certificate_that_ends_first_is_reported_some_days_before(
    ends: list[timedelta], days: str, broker: str | None
) -> None:
    settings = IngestSettings(ingest_certificate_days=float(days))
    at = {f"broker-{number}:8883": NOW + each for number, each in enumerate(ends)}
    [event] = StandingWatch(bounds_of(settings)).events(certificates_seen(at, NOW, SOURCE), 0.0, 0)
    if broker is None:
        assert event.details == {"over": [["certificate_ending", SOURCE]]}
    else:
        day = at[broker].date().isoformat()
        assert event.event == "certificate_ending"
        assert event.severity == "warning"
        assert event.details == {"source": SOURCE, "broker": broker, "ends_on": day}


def test_a_new_certificate_ends_the_condition() -> None:
    watch = StandingWatch(bounds_of(IngestSettings()))
    watch.events(certificates_seen({"broker:8883": NOW + timedelta(days=1)}, NOW, SOURCE), 0.0, 0)
    [event] = watch.events(certificates_seen({"broker:8883": NOW + timedelta(days=825)}, NOW, SOURCE), 10.0, 0)
    assert event.details == {"over": [["certificate_ending", SOURCE]]}


@contextmanager
def broker(folder: Path, port: int, binary: str, days: int) -> Iterator[None]:
    """A Mosquitto with TLS, whose certificate nobody but itself has signed."""
    folder.mkdir(exist_ok=True)
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
         "-days", str(days), "-subj", "/CN=x", "-keyout", "server.key", "-out", "server.pem"],
        cwd=folder, check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    config = folder / "mosquitto.conf"
    config.write_text(
        f"user root\nlistener {port} 127.0.0.1\nallow_anonymous true\n"
        f"certfile {folder}/server.pem\nkeyfile {folder}/server.key\n"
    )
    child = Child(Program("mosquitto-tls", (binary, "-c", str(config))), folder / "log")
    try:
        yield
    finally:
        child.kill()


async def test_the_end_is_read_from_the_broker_and_a_lost_one_keeps_its_end(
    tmp_path: Path, free_port: Callable[[], int], mosquitto: Any, until: Callable[..., Any]
) -> None:
    binary, port = mosquitto.server.prepare().command[0], free_port()
    watch = CertificateWatch([f"127.0.0.1:{port}"])
    await watch.look()
    assert watch.ends == {}
    assert not watch.is_known

    async def seen() -> Any:
        await watch.look()
        return watch.ends

    with broker(tmp_path / "first", port, binary, days=10):
        await until(seen)
    [first] = watch.ends.values()
    assert timedelta(days=9) < first - datetime.now(UTC) < timedelta(days=11)
    await watch.look()
    assert watch.ends == {f"127.0.0.1:{port}": first}
    with broker(tmp_path / "second", port, binary, days=400):

        async def renewed() -> bool:
            await watch.look()
            return watch.ends[f"127.0.0.1:{port}"] > first + timedelta(days=380)

        await until(renewed)


def test_a_server_without_tls_shows_no_certificate(mosquitto: Any) -> None:
    with pytest.raises(OSError):  # noqa: PT011 - TLS, the socket or the wait ends
        end_of(f"{mosquitto.host}:{mosquitto.port}")


async def test_a_broker_that_does_not_answer_yet_is_not_taken_for_one_without_tls(free_port: Callable[[], int]) -> None:
    watch = CertificateWatch([f"127.0.0.1:{free_port()}"])
    for _ in range(9):
        await watch.look()
        assert not watch.is_known
    await watch.look()
    assert watch.is_known
    assert CertificateWatch([]).is_known


async def test_ingest_reports_the_end_and_nothing_else_of_the_certificate_before(
    world: Any, tmp_path: Path, free_port: Callable[[], int], mosquitto: Any, until: Callable[..., Any]
) -> None:
    binary, port = mosquitto.server.prepare().command[0], free_port()

    async def reported() -> Any:
        found = [body for subject, body in await world.stored("EVENTS") if "system_event" in subject]
        return [body["details"] for body in found if "certificate_ending" in str(body)]

    with broker(tmp_path / "tls", port, binary, days=10):
        await until(lambda: _answers(port))
        world.ingest(KAISER_MQTT_TLS_LISTENERS=f'["127.0.0.1:{port}"]')
        [details] = await until(reported)
    assert details["source"] == f"ingest.{world.site}"
    assert details["broker"] == f"127.0.0.1:{port}"


def _answers(port: int) -> bool:
    try:
        end_of(f"127.0.0.1:{port}")
    except OSError:
        return False
    return True
