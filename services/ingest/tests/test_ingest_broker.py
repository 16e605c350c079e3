"""Refusals of a broker, and how a session in this process takes them."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from kaiser_common.bus.connection import connect
from kaiser_common.runtime.settings import CommonSettings
from kaiser_ingest.consumers.session import MAX_IN_FLIGHT_BYTES, MqttSession
from kaiser_ingest.domain import backoff
from kaiser_ingest.domain.incoming import Incoming
from kaiser_ingest.mqtt.sending import ConnectionLost
from kaiser_ingest.publish import SystemEvents
from kaiser_ingest.settings import IngestSettings
from kaiser_ingest.store.session_store import SessionStore
from prometheus_client import REGISTRY
from structlog.testing import capture_logs


class _NoPipeline:
    """Nothing is received here."""

    held = in_flight = 0
    in_flight_bytes = 0

    def forget(self, generation: int) -> None:
        return


class _Holding:
    """A pipeline that stores nothing by itself."""

    def __init__(self) -> None:
        self.messages: list[Incoming] = []

    @property
    def held(self) -> int:
        return len(self.messages)

    in_flight = held

    @property
    def in_flight_bytes(self) -> int:
        return sum(len(each.payload) for each in self.messages)

    def offer(self, messages: list[Incoming]) -> None:
        self.messages += messages


class _Socket:
    """A connection of which only the reader's state matters."""

    generation = 1

    def __init__(self) -> None:
        self.reads = True
        self.rests = 0

    def rest(self) -> None:
        self.rests += 1

    def pause(self) -> None:
        self.reads = False

    def resume(self) -> None:
        self.reads = True

    def acknowledge(self, packet_ids: list[int]) -> None:
        return


def test_pictures_in_flight_are_bounded_by_their_bytes() -> None:
    """86 pictures of 768 KiB are far below the window of 2,000 messages, and above 64 MiB."""
    holding, socket = _Holding(), _Socket()
    session = MqttSession(IngestSettings(), holding, None, None)  # type: ignore[arg-type]
    session._current = socket  # type: ignore[assignment]
    picture = bytes(768 * 1024)
    taken = 0
    while socket.reads and taken < 2000:
        session.on_messages([Incoming(b"/j1/txt/1/i/quality_check", picture, taken, 1, False, False, 1, 0)])
        taken += 1
    assert (taken, holding.in_flight_bytes <= MAX_IN_FLIGHT_BYTES + len(picture)) == (86, True)
    while not socket.reads and holding.messages:
        session.on_stored([holding.messages.pop(0)])
    assert 0.7 < holding.in_flight_bytes / MAX_IN_FLIGHT_BYTES <= 0.75


def test_the_socket_rests_only_while_few_messages_are_held() -> None:
    """At saturation it is read beside storing."""
    holding, socket = _Holding(), _Socket()
    session = MqttSession(IngestSettings(), holding, None, None)  # type: ignore[arg-type]
    session._current = socket  # type: ignore[assignment]
    for number in range(150):
        session.on_messages([Incoming(b"kaiser/god/esp/ESP_A/sensor/4/data", b"{}", number, 1, False, False, 1, 0)])
    assert (socket.rests, socket.reads) == (99, True)


@pytest.fixture
def bus_here(bus_settings: CommonSettings) -> CommonSettings:
    """A bus that remembers nothing of the sessions of other tests."""
    return bus_settings


@asynccontextmanager
async def session_here(
    bus_settings: Any, port: int, **settings: Any
) -> AsyncIterator[tuple[MqttSession, list[tuple[str, int | None]]]]:
    """A session that runs in this process, with the events it tells and their codes."""
    told: list[tuple[str, int | None]] = []
    async with connect(bus_settings, "tests") as bus:
        events = SystemEvents(bus)
        events.put = lambda event: told.append((event.event, event.code))  # type: ignore[method-assign]
        values = IngestSettings(nats_url=bus_settings.nats_url, mqtt_port=port, site="here", **settings)
        session = MqttSession(values, _NoPipeline(), SessionStore(bus), events)  # type: ignore[arg-type]
        running = asyncio.create_task(session.run())
        yield session, told
        running.cancel()
        await asyncio.wait([running])


async def test_a_session_taken_over_is_told_and_not_fought(
    bus_here: Any, scripted_broker: Any, until: Callable[..., Any]
) -> None:
    async with (
        scripted_broker(farewell=b"\xe0\x02\x8e\x00") as broker,
        session_here(bus_here, broker.port, mqtt_flapping_s=1.5) as (session, told),
    ):
        await until(lambda: ("mqtt_session_taken_over", 5108) in told, within_s=60.0)
        assert session.last_error == "0x8e session taken over"
        await until(lambda: len(broker.connects) == 2, within_s=60.0)
    assert broker.connects[1] - broker.connects[0] >= 1.4


@pytest.mark.parametrize(
    ("script", "logged"),
    [
        ({"connack": 0x87}, ("0x87 not authorized", 5107)),
        ({"connack": 0x86}, ("0x86 bad user name or password", 5107)),
        ({"connack": 0x88}, ("0x88 server unavailable", 5106)),
        ({"suback": 0x87}, ("0x87 not authorized", 5107)),
        ({"suback": 0}, ("0 success", 5106)),
        ({"puback": 0x97}, ("0x97 quota exceeded", 5106)),
    ],
)
async def test_a_refusal_is_logged_with_its_meaning_and_does_not_count_as_up(
    bus_here: Any, scripted_broker: Any, until: Callable[..., Any], script: dict[str, int], logged: tuple[str, int]
) -> None:
    reason, code = logged
    with capture_logs() as lines:
        async with (
            scripted_broker(**script) as broker,
            session_here(bus_here, broker.port) as (session, _),
        ):
            await until(lambda: session.failures, every_s=0.005)
            with pytest.raises(ConnectionLost, match=reason):
                await session.check()
            assert REGISTRY.get_sample_value("kaiser_ingest_connected") == 0
    line = next(each for each in lines if each["event"] == "mqtt_unreachable")
    assert reason in line["reason"]
    assert line["code"] == code


async def test_a_probe_without_puback_does_not_count_as_up(
    bus_here: Any, scripted_broker: Any, until: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kaiser_ingest.consumers.session.PROBE_TIMEOUT_S", 0.3)
    async with (
        scripted_broker(puback=None) as broker,
        session_here(bus_here, broker.port) as (session, _),
    ):
        await until(lambda: session.failures, every_s=0.005)
        assert session.last_error == "the broker did not acknowledge the probe within 0.3 s"


async def test_ten_failures_in_a_row_open_the_breaker_and_it_never_gives_up(
    bus_here: Any, free_port: Callable[[], int], until: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    real = backoff.wait_s

    def no_wait(failures: int, jitter: float, since_attempt_s: float, floor_s: float, longest_s: float) -> float:
        waits.append(real(failures, 1.0, 0.0, floor_s, longest_s))
        return 0.0

    monkeypatch.setattr(backoff, "wait_s", no_wait)
    async with session_here(bus_here, free_port()) as (session, told):
        await until(lambda: session.failures >= 12)
        assert REGISTRY.get_sample_value("kaiser_ingest_breaker_open") == 1
        assert told == [("mqtt_breaker_open", 5406)]
        assert waits[:12] == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0, 60.0, 60.0, 60.0]
        with pytest.raises(ConnectionLost, match="refused"):
            await session.check()


async def test_a_session_ends_when_cancelled_whatever_it_waits_for(bus_here: Any, free_port: Callable[[], int]) -> None:
    """wait_for of Python 3.11 swallows a cancellation that meets the answer; the session must not connect then."""
    async with connect(bus_here, "tests") as bus:
        settings = IngestSettings(nats_url=bus_here.nats_url, mqtt_port=free_port(), site="here")
        for delay_ms in range(8):
            session = MqttSession(settings, _NoPipeline(), SessionStore(bus), SystemEvents(bus))  # type: ignore[arg-type]
            running = asyncio.create_task(session.run())
            await asyncio.sleep(delay_ms / 2000)
            running.cancel()
            done, _ = await asyncio.wait([running], timeout=60.0)
            assert done


class _Connection:
    """Notes what is acknowledged."""

    generation = 2

    def __init__(self) -> None:
        self.acknowledged: list[int] = []

    def acknowledge(self, packet_ids: list[int]) -> None:
        self.acknowledged += packet_ids


async def test_messages_are_acknowledged_in_receive_order_and_only_on_the_connection_that_delivered(
    bus_here: Any, free_port: Callable[[], int], until: Callable[..., Any]
) -> None:
    async with session_here(bus_here, free_port()) as (session, _):
        await until(lambda: session.failures)
        session._current = connection = _Connection()  # type: ignore[assignment]
        first = Incoming(b"t", b"", 7, 1, False, False, 2, 0)
        session.on_stored(
            [
                first._replace(packet_id=5, generation=1),
                first,
                first._replace(packet_id=0, qos=0),
                first._replace(packet_id=3),
                first._replace(packet_id=9),
            ]
        )
        session._current = None
        session.on_stored([first])
    assert connection.acknowledged == [7, 3, 9]


async def test_a_broker_that_never_answers_fails_after_some_seconds(
    bus_here: Any, mute_port: int, until: Callable[..., Any]
) -> None:
    async with session_here(bus_here, mute_port) as (session, _):
        started = time.monotonic()
        await until(lambda: session.failures, within_s=60.0)
        assert time.monotonic() - started > 4.0
