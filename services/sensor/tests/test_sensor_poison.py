"""The three consumers of sensor: a message on which one fails is rejected, its neighbours are shown, stored, noted."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime

import psycopg
import pytest
from consuming import FAR, Consuming, FaultyBus, case, consuming, handling, loop_of, publish, rejected, stored
from kaiser_common.bus.connection import connect
from kaiser_common.bus.pull import Delivery
from kaiser_common.contract.subjects import SENSOR_LIVE, SENSOR_RESPONSES, SENSOR_STORE
from kaiser_common.runtime.consume import Unreadable
from kaiser_common.runtime.database import open_pool
from kaiser_common.runtime.settings import CommonSettings
from kaiser_sensor.consumers.live import Live
from kaiser_sensor.consumers.responses import Responses
from kaiser_sensor.consumers.storing import Storing
from kaiser_sensor.domain.process import Processor
from kaiser_sensor.domain.processed import PackProcessing
from kaiser_sensor.domain.reading import SensorReading
from kaiser_sensor.domain.rows import ProcessedReading
from kaiser_sensor.store import measurements as measure_store
from moment import moment
from structlog.testing import capture_logs
from waiting import until

NOW_MS = int(moment().timestamp() * 1000)
NEIGHBOURS = [("ESP_A", 20.0), ("ESP_B", 21.0)]


def reading(esp_id: str, **fields) -> tuple[str, bytes]:
    given = {"kaiser_id": "god", "esp_id": esp_id, "gpio": 4, "sensor_type": "ph", "raw_mode": False}
    values = {"ts": NOW_MS, "received_at": NOW_MS, "value": dict(NEIGHBOURS).get(esp_id, 7.0)}
    return f"esp.sensor.data.god.{esp_id}.4", json.dumps(given | values | fields).encode()


PACK = "esp.sensor.data.god.0"


def arrived(messages, packed: bool):
    """The messages as they are, or as one pack."""
    return [(PACK, b"\n".join(body for _, body in messages))] if packed else messages


def process(given: SensorReading) -> ProcessedReading:
    return Processor({}, lambda *_: None).process(given, None)


def faulty(given: SensorReading) -> ProcessedReading:
    """As `process`, with a bug."""
    if given.esp_id == "ESP_SEC1":
        raise ZeroDivisionError("a bug of the service")
    return process(given)


@pytest.fixture
async def bus(bus_settings):
    async with connect(bus_settings, "test") as bus:
        yield bus


@pytest.fixture
async def pool(database):
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("TRUNCATE sensor.data, sensor.latest, sensor.measurements")
    async with open_pool(CommonSettings(database_url=database), "test") as pool:
        yield pool


def rows(database: str) -> list[tuple[str, float]]:
    with psycopg.connect(database) as connection:
        return connection.execute("SELECT esp_id, value FROM sensor.data ORDER BY esp_id").fetchall()


async def shown(bus) -> list[tuple[str, float]]:
    """The events of readings."""
    events = [body for subject, body in await stored(bus, "EVENTS") if subject.startswith("event.sensor_data.")]
    return sorted((body["esp_id"], body["value"]) for body in events)


UNREADABLE = {
    "bus-reading-year-3170843": case("bus-reading-year-3170843"),
    "reading received at a far time": reading("ESP_SEC1", received_at=FAR),
    "time before 1970": reading("ESP_SEC1", ts=-(10**15)),
    "device time beyond int8": reading("ESP_SEC1", device_ts=FAR, clock="server"),
    "no JSON": ("esp.sensor.data.god.ESP_SEC1.4", b"{not json"),
}


@pytest.mark.parametrize("packed", [False, True], ids=["messages", "pack"])
@pytest.mark.parametrize("poison", UNREADABLE.values(), ids=UNREADABLE)
async def test_what_is_no_reading_is_rejected_once_and_its_neighbours_are_shown_and_stored(
    bus, pool, database, poison, packed
):
    await publish(bus, arrived([reading("ESP_A"), poison, reading("ESP_B")], packed))
    storing = Storing(bus, pool, PackProcessing(process), note_rollups=True)
    live = Live(bus, PackProcessing(process), lambda _: False)
    with capture_logs() as logs:
        async with (
            consuming(bus, SENSOR_STORE, loop_of(storing)) as stores,
            consuming(bus, SENSOR_LIVE, handling(live.on_readings)) as shows,
        ):
            await stores.settled()
            await shows.settled()
            assert (await stores.readiness(), await shows.readiness()) == ("ok", "ok")
    assert "message_failed" not in {line["event"] for line in logs}, "it is rejected at its first delivery"
    assert rows(database) == NEIGHBOURS
    assert await shown(bus) == NEIGHBOURS
    [(subject, came_on)] = await rejected(bus)
    assert (subject.split(".")[1], came_on) == ("5407", PACK if packed else poison[0])


@pytest.mark.parametrize("packed", [False, True], ids=["messages", "pack"])
@pytest.mark.parametrize(
    ("poison", "bug", "code"),
    [(reading("ESP_SEC1"), True, 5407), (reading("ESP_SEC1", unit="\0"), False, 5305)],
    ids=["bug", "text that no column takes"],
)
async def test_sensor_store_rejects_what_it_cannot_store_and_stores_its_neighbours(
    bus, pool, database, poison, bug, code, packed
):
    await publish(bus, arrived([reading("ESP_A"), poison, reading("ESP_B")], packed))
    storing = Storing(bus, pool, PackProcessing(faulty if bug else process), note_rollups=True)
    async with consuming(bus, SENSOR_STORE, loop_of(storing)) as loop:
        await loop.settled()
        assert rows(database) == NEIGHBOURS
        came_on = PACK if packed else "esp.sensor.data.god.ESP_SEC1.4"
        assert await rejected(bus) == [(f"rejected.{code}.ESP_SEC1", came_on)]


async def test_of_many_bad_lines_in_a_pack_each_is_rejected_and_all_others_are_stored_and_shown_once(
    bus, pool, database
):
    good = [reading(f"ESP_{number:02}", value=float(number)) for number in range(46)]
    bad = [UNREADABLE["no JSON"], ("", b""), ("", b"7"), reading("ESP_SEC1", gpio=10**12)]
    messages = [*good[:20], *bad[:2], *good[20:40], *bad[2:], *good[40:]]
    await publish(bus, arrived(messages, packed=True))
    packs = PackProcessing(process)
    storing, live = Storing(bus, pool, packs, note_rollups=True), Live(bus, packs, lambda _: False)
    async with (
        consuming(bus, SENSOR_STORE, loop_of(storing)) as stores,
        consuming(bus, SENSOR_LIVE, handling(live.on_readings)) as shows,
    ):
        await stores.settled()
        await shows.settled()
    assert rows(database) == [(f"ESP_{number:02}", float(number)) for number in range(46)]
    seen = [esp_id for esp_id, _ in await shown(bus)]
    assert seen == [f"ESP_{number:02}" for number in range(46)]
    assert sorted(subject for subject, _ in await rejected(bus)) == [
        "rejected.5407.ESP_SEC1",
        "rejected.5407._",
        "rejected.5407._",
        "rejected.5407._",
    ]


async def test_a_pack_of_a_thousand_lines_that_name_no_device_is_rejected_and_delays_no_other_pack(bus, pool, database):
    good = [[reading(f"ESP_{pack}_{number:02}") for number in range(20)] for pack in range(3)]
    packs = [*good[:1], [("", b"{")] * 1000, *good[1:], [reading("ESP_SEC1", gpio=10**12), reading("ESP_Z")]]
    await publish(bus, [arrived(pack, packed=True)[0] for pack in packs])
    processing = PackProcessing(process)
    storing, live = Storing(bus, pool, processing, note_rollups=True), Live(bus, processing, lambda _: False)
    with capture_logs():
        async with (
            consuming(bus, SENSOR_STORE, loop_of(storing)) as stores,
            consuming(bus, SENSOR_LIVE, handling(live.on_readings)) as shows,
        ):
            await stores.settled()
            await shows.settled()
            assert (await stores.readiness(), await shows.readiness()) == ("ok", "ok")
    expected = [(f"ESP_{pack}_{number:02}", 7.0) for pack in range(3) for number in range(20)] + [("ESP_Z", 7.0)]
    assert rows(database) == expected
    assert await shown(bus) == expected
    told = [subject for subject, _ in await rejected(bus)]
    assert sorted(set(told)) == ["rejected.5407.ESP_SEC1", "rejected.5407._"]
    assert len(told) == 1001


async def reads_nothing(batch: Sequence[Delivery]) -> Unreadable:
    """As a version that can read no reading."""
    return [(pack.line(number, line), "bad") for pack in batch for number, line in enumerate(pack.lines())]


async def is_refused(batch: Sequence[Delivery]) -> Unreadable:
    """As a version whose statement the database refuses whatever the reading."""
    raise psycopg.errors.NumericValueOutOfRange("integer out of range")


@pytest.mark.parametrize("handler", [reads_nothing, is_refused])
async def test_a_version_that_fails_on_all_packs_rejects_one_a_start_and_the_others_wait(bus, handler):
    packs = [[reading(f"ESP_{pack}_{number:02}") for number in range(80)] for pack in range(3)]
    await publish(bus, [arrived(pack, packed=True)[0] for pack in packs])
    for start in (1, 2):
        with capture_logs():
            async with consuming(bus, SENSOR_LIVE, handling(handler)) as loop:

                async def halted(loop: Consuming = loop) -> bool:
                    return "dead_letter_limit" in await loop.readiness()

                await until(halted)
        assert len(await rejected(bus)) == 80 * start
        info = await bus.jetstream.consumer_info(SENSOR_LIVE.stream, SENSOR_LIVE.name)
        assert info.num_pending + info.num_ack_pending == 3 - start


async def test_events_are_messages_of_their_devices_where_that_is_asked_and_come_once(bus):
    await publish(bus, arrived([reading("ESP_A"), reading("ESP_B"), reading("ESP_A", gpio=5)], packed=True))
    async with consuming(
        bus, SENSOR_LIVE, handling(Live(bus, PackProcessing(process), lambda _: False, per_device=True).on_readings)
    ) as loop:
        await loop.settled()
    events = [(subject, body["gpio"]) for subject, body in await stored(bus, "EVENTS") if "sensor_data" in subject]
    assert events == [
        ("event.sensor_data.ESP_A", 4),
        ("event.sensor_data.ESP_B", 4),
        ("event.sensor_data.ESP_A", 5),
    ]


@pytest.mark.parametrize("packed", [False, True], ids=["messages", "pack"])
async def test_sensor_live_rejects_a_reading_on_which_it_has_a_bug_and_shows_its_neighbours(bus, packed):
    await publish(bus, arrived([reading("ESP_A"), reading("ESP_SEC1"), reading("ESP_B")], packed))
    live = Live(bus, PackProcessing(faulty), lambda _: True)
    async with consuming(bus, SENSOR_LIVE, handling(live.on_readings)) as loop:
        await loop.settled()
        assert await shown(bus) == NEIGHBOURS
        answered = {body["topic"].split("/")[3] for _, body in await stored(bus, "OUTBOX")}
        assert answered == {"ESP_A", "ESP_B"}
        came_on = PACK if packed else "esp.sensor.data.god.ESP_SEC1.4"
        assert await rejected(bus) == [("rejected.5407.ESP_SEC1", came_on)]


def answer(esp_id: str, **fields) -> tuple[str, bytes]:
    given = {"kaiser_id": "god", "esp_id": esp_id, "gpio": 4, "ts": NOW_MS, "received_at": NOW_MS}
    said = {"request_id": f"of {esp_id}", "command": "measure", "success": True, **fields}
    return f"esp.sensor.response.god.{esp_id}.4", json.dumps(given | said).encode()


@pytest.mark.parametrize(
    ("poison", "bug", "code"),
    [
        (answer("ESP_SEC1"), True, 5407),
        (answer("ESP_SEC1", received_at=FAR), False, 5407),
        (("esp.sensor.response.god.ESP_SEC1.4", b"{not json"), False, 5407),
        (answer("ESP_SEC1", message="\0"), False, 5305),
    ],
    ids=["bug", "far time", "no JSON", "text that no column takes"],
)
async def test_sensor_responses_rejects_poison_and_notes_its_neighbours(bus, pool, poison, bug, code):
    now = datetime.now(UTC)
    async with pool.connection() as connection:
        for esp_id in ("ESP_A", "ESP_SEC1", "ESP_B"):
            await measure_store.ask(connection, f"of {esp_id}", esp_id, 4, "ada", now)
    await publish(bus, [answer("ESP_A"), poison, answer("ESP_B")])
    responses = Responses(FaultyBus(bus, "ESP_SEC1") if bug else bus, pool, lambda: now)
    async with consuming(bus, SENSOR_RESPONSES, handling(responses.on_responses)) as loop:
        await loop.settled()
        async with pool.connection() as connection:
            asked = {
                name: await measure_store.read(connection, f"of {name}") for name in ("ESP_A", "ESP_SEC1", "ESP_B")
            }
        assert {name: row[5] for name, row in asked.items()} == {"ESP_A": True, "ESP_SEC1": None, "ESP_B": True}
        assert await rejected(bus) == [(f"rejected.{code}.ESP_SEC1", "esp.sensor.response.god.ESP_SEC1.4")]
