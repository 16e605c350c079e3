"""The status of the system: what it says of services that run, stand, hang and lag."""

import asyncio
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import httpx
import nats
import psycopg
import pytest
from kaiser_common.bus.connection import connect as bus_connect
from kaiser_common.contract.schemas.api.system import LastError, ReplicaStatus
from kaiser_common.contract.subjects import CONSUMERS, OPTIONAL_SERVICES, SERVICES, STATUS_SUBJECT
from kaiser_common.runtime.database import open_pool
from kaiser_common.runtime.loops import beside
from kaiser_common.runtime.service import Service
from kaiser_common.runtime.settings import CommonSettings
from kaiser_gateway.api import system_status
from kaiser_gateway.api.system_status import summary, without_reasons
from kaiser_gateway.domain.limits import Limiter
from kaiser_gateway.domain.tokens import Signer
from kaiser_gateway.handlers import build_app
from kaiser_gateway.http.auth import Guard
from kaiser_gateway.jobs.starts import keep_starts
from kaiser_gateway.settings import GatewaySettings
from kaiser_gateway.store import starts
from kaiser_gateway.store.standing import Standings
from kaiser_gateway.store.users import Users
from kaiser_gateway.ws.hub import Hub
from kaiser_gateway.ws.topics import TopicsHub
from nats.js.api import ConsumerConfig, ConsumerInfo, SequenceInfo, StreamConfig, StreamInfo, StreamState
from waiting import until


def replica(service: str, name: str = "a-1", *, ready: bool = True, started_at: int = 1, **fields) -> ReplicaStatus:
    return ReplicaStatus(service=service, replica=name, version="1.0", started_at=started_at, ready=ready, **fields)


def of(status, service):
    return next(one for one in status.services if one.service == service)


def consumer_info(name: str, pending: int, unacknowledged: int) -> ConsumerInfo:
    return ConsumerInfo(
        name=name,
        stream_name="SENSORS",
        config=ConsumerConfig(),
        created=datetime.now(UTC),
        delivered=SequenceInfo(consumer_seq=9, stream_seq=9),
        num_pending=pending,
        num_ack_pending=unacknowledged,
    )


def test_every_consumer_belongs_to_a_service():
    assert {consumer.service for consumer in CONSUMERS} <= {*SERVICES, *OPTIONAL_SERVICES}


def test_a_service_that_did_not_answer_is_down_and_the_whole_degraded():
    status = summary(5, "ok", [replica(name) for name in SERVICES if name != "sensor"], {}, {}, 0)
    assert (of(status, "sensor").up, of(status, "sensor").ready, of(status, "health").up) == (False, False, True)
    assert status.status == "degraded"
    assert summary(5, "ok", [replica(name) for name in SERVICES], {}, {}, 0).status == "ok"


def test_replicas_are_told_each_and_their_newest_error_is_the_services():
    first = replica("sensor", "a-1", last_error=LastError(event="crashed", at=10, message="x"))
    second = replica("sensor", "b-1", ready=False, started_at=2, last_error=LastError(event="database_gone", at=20))
    sensor = of(summary(5, "ok", [second, first], {}, {}, 0), "sensor")
    assert [one.replica for one in sensor.replicas] == ["a-1", "b-1"]
    assert (sensor.up, sensor.ready, sensor.last_error.event) == (True, False, "database_gone")


def test_lag_is_what_waits_for_the_consumers_of_a_service():
    infos = {"sensor-live": consumer_info("sensor-live", 3, 1), "sensor-store": consumer_info("sensor-store", 20, 5)}
    state = StreamState(messages=4, bytes=99, first_seq=9, last_seq=12, consumer_count=2)
    status = summary(5, "ok", [], infos, {"SENSORS": StreamInfo(StreamConfig(name="SENSORS"), state)}, 7)
    assert of(status, "sensor").lag == 29
    assert of(status, "health").lag is None
    assert of(status, "websocket-gateway").lag == 7
    assert [(one.stream, one.messages, one.bytes, one.last_seq) for one in status.streams] == [("SENSORS", 4, 99, 12)]


def test_reasons_are_kept_from_who_has_not_signed_in():
    secret = replica(
        "sensor", checks={"database": "host db1 refused"}, last_error=LastError(event="crashed", at=1, message="db1")
    )
    text = without_reasons(summary(5, "no route to nats1", [secret], {}, {}, 0)).model_dump_json()
    assert "db1" not in text
    assert "nats1" not in text
    assert '"event":"crashed"' in text


async def fresh(gateway) -> dict:
    """The first answer that was finished after the question: the answers of one second are one."""
    async with gateway.http("viewer") as http, asyncio.timeout(120):
        asked_ms = time.time() * 1000
        while True:
            status = (await http.get("/api/v1/system/status")).json()
            if status["at"] >= asked_ms:
                return status
            await asyncio.sleep(0.05)


async def status_with(gateway, holds: Callable[[dict], bool]) -> dict:
    """The first such answer for which a condition holds: one that the look for starts began earlier may come before."""

    async def found() -> dict | None:
        status = await fresh(gateway)
        return status if holds(status) else None

    return await until(found)


async def least_s(gateway) -> float:
    """The quickest of five such answers, in seconds."""
    took = []
    for _ in range(5):
        started = time.monotonic()
        await fresh(gateway)
        took.append(time.monotonic() - started)
    return min(took)


async def test_the_status_is_there_with_services_down_and_one_that_hangs(gateway, module_bus):
    client = await nats.connect(module_bus)

    async def answer(message) -> None:
        await message.respond(replica("sensor", "host-7").model_dump_json().encode())
        await message.respond(b"nonsense")

    await client.subscribe("rpc.status", cb=answer)
    await client.subscribe("rpc.status")  # hears the question and says nothing
    await client.flush()
    status = await status_with(gateway, lambda found: "host-7" in json.dumps(found))
    infos = [await client.jetstream().consumer_info("SENSORS", name) for name in ("sensor-live", "sensor-store")]
    waiting = sum(info.num_pending + info.num_ack_pending for info in infos)
    await client.close()
    services = {service["service"]: service for service in status["services"]}
    assert set(services) == set(SERVICES)
    assert services["sensor"]["replicas"][0]["replica"] == "host-7"
    assert services["sensor"]["lag"] == waiting
    assert not services["health"]["up"]
    own = services["websocket-gateway"]
    assert (own["up"], own["ready"], own["version"]) == (True, True, "0.1.0")
    assert own["replicas"][0]["checks"] == {"nats": "ok", "nats for stops": "ok", "database": "ok", "http": "ok"}
    assert {stream["stream"] for stream in status["streams"]} >= {"SENSORS", "EVENTS", "REJECTED"}


async def test_the_status_needs_no_token(gateway):
    async with gateway.http(None) as http:
        assert (await http.get("/api/v1/system/status")).status_code == 200


@pytest.mark.speed
async def test_the_status_is_there_within_2_s_with_services_down_and_one_that_hangs(gateway, module_bus):
    client = await nats.connect(module_bus)
    await client.subscribe("rpc.status")
    await client.flush()
    assert await least_s(gateway) < 1 + 2  # an answer may be a second old
    await client.close()


@pytest.mark.speed
async def test_with_nats_away_the_status_is_there_within_2_s(start_gateway, nats_factory, database):
    server = nats_factory()
    gateway = start_gateway(KAISER_NATS_URL=server.url)
    server.kill()
    assert await least_s(gateway) < 1 + 2


async def test_with_nats_away_the_status_says_so(start_gateway, nats_factory, database):
    server = nats_factory()
    gateway = start_gateway(KAISER_NATS_URL=server.url)
    server.kill()
    status = await status_with(gateway, lambda found: found["bus"] != "ok")
    assert status["status"] == "degraded"
    assert [service["service"] for service in status["services"] if service["up"]] == ["websocket-gateway"]
    assert await asyncio.to_thread(gateway.stop) == 0


MINUTE_MS = 60_000


@pytest.fixture
async def pool(database):
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("TRUNCATE gateway.starts")
    async with open_pool(CommonSettings(database_url=database), "test") as found:
        yield found


def at(minutes: int) -> datetime:
    return datetime.now(UTC).replace(microsecond=0) - timedelta(days=1) + timedelta(minutes=minutes)


async def test_many_that_ask_at_once_and_the_look_for_starts_are_answered_by_one_question(
    nats_factory, pool, monkeypatch
):
    monkeypatch.setattr(system_status, "_KEPT_S", 3600.0)
    monkeypatch.setattr(system_status, "_ROUND_TRIP_S", 60.0)  # the one question has its answers on a busy machine too
    monkeypatch.setattr(system_status, "_WITHIN_S", 60.0)
    server = nats_factory()
    client = await nats.connect(server.url)
    asked = []
    started_at = int(at(0).timestamp() * 1000)

    async def answer(message) -> None:
        asked.append(message)
        for name in SERVICES:
            await message.respond(replica(name, started_at=started_at).model_dump_json().encode())

    await client.subscribe(STATUS_SUBJECT, cb=answer)
    await client.flush()

    async def noted() -> list[int]:
        found = await starts.between(pool, at(-1), at(1), 10)
        return [one.started_at for one in found if one.service == "logic"]

    service, settings = Service("trial"), GatewaySettings(http_per_address=5000)
    guard = Guard(Signer("k" * 40), Limiter(1, 1), None, Standings(None, None))
    async with bus_connect(CommonSettings(nats_url=server.url), "tests") as bus:
        hub = Hub(bus, 15.0)
        status = system_status.Status(bus, service, hub.behind)
        app = build_app(service, bus, bus, hub, TopicsHub(bus), Users(None, None), None, pool, guard, status, settings)
        transport = httpx.ASGITransport(app)
        async with (
            httpx.AsyncClient(transport=transport, base_url="http://ignored", timeout=120) as http,
            beside(starts=keep_starts(pool, status)),
        ):
            answers = await asyncio.gather(*(http.get("/api/v1/system/status") for _ in range(20)))
            assert await until(noted, "the start is noted") == [started_at]
    await client.close()
    assert {answer.status_code for answer in answers} == {200}
    assert len({json.dumps(answer.json()) for answer in answers}) == 1
    assert len(asked) == 1


async def test_each_start_is_kept_once_so_that_every_deployment_of_a_span_is_found(pool):
    began = at(0)
    first = int(began.timestamp() * 1000)
    runs = [
        replica("logic", "a-1", started_at=first),
        replica("logic", "a-1", started_at=first + 5 * MINUTE_MS),
        replica("ingest", "b-1", started_at=first + 5 * MINUTE_MS),
        replica("logic", "a-1", started_at=first + 9 * MINUTE_MS),
    ]
    for seen in (runs[:1], runs[1:3], runs[1:3], runs[2:]):
        await starts.note(pool, seen)

    async def found(since: int, until: int, limit: int = 10) -> list[tuple[str, int]]:
        span = (began + timedelta(minutes=since), began + timedelta(minutes=until))
        listed = await starts.between(pool, *span, limit)
        return [(one.service, (one.started_at - first) // MINUTE_MS) for one in listed]

    assert await found(0, 10) == [("logic", 0), ("logic", 5), ("ingest", 5), ("logic", 9)]
    assert await found(1, 9) == [("logic", 5), ("ingest", 5)]
    assert await found(0, 10, 1) == [("ingest", 5), ("logic", 9)], "the newest, and one more where there are more"
    assert await found(10, 20) == []


@pytest.mark.parametrize(("most", "kept"), [(3, [1, 2, 3]), (10, [0, 1, 2, 3])])
async def test_starts_are_bounded_in_number_and_age(pool, monkeypatch, most, kept):
    monkeypatch.setattr(starts, "MOST_KEPT", most)
    began = int(at(0).timestamp() * 1000)
    old = began - 366 * 24 * 60 * MINUTE_MS
    times = [old, *(began + number * MINUTE_MS for number in range(4))]
    await starts.note(pool, [replica("logic", started_at=each) for each in times])
    await starts.drop_old(pool)
    listed = await starts.between(pool, at(0) - timedelta(days=400), at(60), 10)
    assert [(one.started_at - began) // MINUTE_MS for one in listed] == kept
