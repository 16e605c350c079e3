"""The next holder of the lease leaves out what the last packs hold, of which the broker has no PUBACK."""

import json
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from jumping import JumpingLoop
from kaiser_ingest.store.read_back import last_of_factory, last_packs, last_rejections, places_before
from leases import end_lease
from nats.errors import NoRespondersError
from nats.js.api import RawStreamMsg

ESP_IDS = [f"ESP_{number:04}" for number in range(10)]


def without_a_clock(esp_id: str, number: int) -> bytes:
    fields = {"ts": 0, "esp_id": esp_id, "gpio": 34, "sensor_type": "ph", "raw": number, "raw_mode": True}
    return json.dumps(fields).encode()


@pytest.mark.parametrize("served", ["its own site", "all sites"])
async def test_nothing_is_stored_again_that_the_last_packs_of_its_sites_and_shards_hold(
    served: str, world: Any, make_reading: Callable[..., bytes], until: Callable[..., Any]
) -> None:
    """The holder before was killed; since then the ingest of another site has published a hundred packs."""
    await world.approve(ESP_IDS)
    shards, lines = 40, 5
    known = shards * lines
    async with world.client() as client:
        jetstream = client.jetstream()
        for shard in range(shards):
            pack = [make_reading(ESP_IDS[shard % 10], shard * lines + line) for line in range(lines)]
            await jetstream.publish(f"esp.sensor.data.{world.site}.{shard}", b"\n".join(pack))
        for number in range(100):
            await jetstream.publish("esp.sensor.data.elsewhere.0", make_reading("ESP_ELSEWHERE", number))
    before = await world.last_sequence("SENSORS")
    ingest = world.ingest(**({"KAISER_MQTT_KAISER_IDS": '["+"]'} if served == "all sites" else {}))
    await until(ingest.connected)
    device = await world.device()
    for number in range(known + 1):
        esp_id = ESP_IDS[number // lines % 10]
        await device.publish(number, world.topic(esp_id, "sensor/34/data"), make_reading(esp_id, number))

    async def all_are_finished() -> bool:
        # An ingest of all sites hears what devices of other tests say at this broker too.
        heard = ingest.total("kaiser_ingest_messages_total")
        is_whole = heard == known + 1 if served == "its own site" else heard > known
        return bool(is_whole and ingest.accounts_balance() and await world.last_sequence("SENSORS") > before)

    await until(all_are_finished)
    await until(lambda: ingest.total("kaiser_ingest_in_flight_messages") == 0, "each is acknowledged to the broker")
    assert await world.last_sequence("SENSORS") == before + 1
    assert [body["raw"] for _, body in await world.stored("SENSORS")][-1] == known, "what is new is stored"
    await device.close()


@pytest.mark.parametrize(
    ("lasts", "places"),
    [
        ([], []),
        ([0], []),
        ([3], [1, 2, 3]),
        ([40], list(range(25, 41))),
        ([40, 30], list(range(15, 41))),
        ([100, 20], [*range(5, 21), *range(85, 101)]),
        (range(16, 16 * 101, 16), list(range(577, 1601))),
    ],
)
def test_the_places_up_to_the_last_packs_are_read_and_at_most_a_thousand(lasts: list[int], places: list[int]) -> None:
    assert places_before(lasts) == places


NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
SUBJECTS = {
    "SENSORS": "esp.sensor.data.god.0",
    "REJECTED": "rejected.5209.ESP_1",
    "FACTORY": "factory.live.agv.state.S1",
}
READS = pytest.mark.parametrize(
    "read",
    [lambda bus, now: last_packs(bus, ["+"], now), last_rejections, last_of_factory],
    ids=["packs", "rejections", "of the factory"],
)


class AwayFirst:
    """JetStream with a message in each place of a stream; the first questions are not answered."""

    def __init__(self, loop: JumpingLoop, away_s: float, ages_s: list[float]) -> None:
        self.loop, self._away_s, self._ages_s = loop, away_s, ages_s
        self.jetstream = self

    async def stream_info(self, name: str, subjects_filter: str = "") -> Any:
        self._check()
        places = len(self._ages_s)
        return SimpleNamespace(state=SimpleNamespace(first_seq=1, last_seq=places, subjects={SUBJECTS[name]: places}))

    async def get_msg(self, name: str, place: int, subject: str | None = None, *, direct: bool) -> RawStreamMsg:
        self._check()
        at = place or len(self._ages_s)
        stored_at = NOW - timedelta(seconds=self._ages_s[at - 1])
        found = {"Nats-Msg-Id": f"m{at}"}
        return RawStreamMsg(SUBJECTS[name], at, f"m{at}".encode(), headers=found, time=stored_at)

    def _check(self) -> None:
        if self.loop.time() < self._away_s:
            raise NoRespondersError


def read_back(read: Callable[..., Any], away_s: float, ages_s: list[float]) -> tuple[list[tuple[str, float]], float]:
    """The items that are read back, as text with their ages, and the seconds that this took."""
    loop = JumpingLoop()
    found = loop.run_until_complete(read(AwayFirst(loop, away_s, ages_s), lambda: NOW))
    took_s = loop.time()
    loop.close()
    return [(each if isinstance(each, str) else each.decode(), age_s) for each, age_s in found], took_s


@READS
def test_what_is_read_back_has_its_age_and_none_is_from_the_future(read: Callable[..., Any]) -> None:
    found, _ = read_back(read, 0.0, [10_800.0, 121.0, 119.5, 0.0, -3.0])
    aged = [("m1", 10_800.0), ("m2", 121.0), ("m3", 119.5), ("m4", 0.0), ("m5", 0.0)]
    assert found == (aged[2:] if read is last_of_factory else aged), "JetStream knows ids of two minutes"


@READS
@pytest.mark.parametrize("away_s", [0.4, 4.0, 9.0])
def test_what_nats_does_not_answer_is_asked_again(read: Callable[..., Any], away_s: float) -> None:
    found, took_s = read_back(read, away_s, [5.0, 4.0])
    assert found == [("m1", 5.0), ("m2", 4.0)]
    assert away_s <= took_s <= away_s + 0.6


@READS
def test_after_ten_seconds_without_an_answer_nothing_is_known(read: Callable[..., Any]) -> None:
    found, took_s = read_back(read, 3_600.0, [5.0])
    assert found == []
    assert took_s == pytest.approx(10.0, abs=0.1)


async def test_no_reading_is_stored_twice_when_ingest_is_killed_with_and_without_the_devices_clock(
    world: Any, make_reading: Callable[..., bytes], until: Callable[..., Any]
) -> None:
    await world.approve(ESP_IDS)
    ingest = world.ingest()
    await until(ingest.connected)
    device = await world.device()
    for kill in range(3):
        for number in range(kill * 300, (kill + 1) * 300):
            esp_id = ESP_IDS[number % 10]
            payload = make_reading(esp_id, number) if number % 2 else without_a_clock(esp_id, number)
            await device.publish(number, world.topic(esp_id, "sensor/34/data"), payload)
            if number % 300 == 200:
                ingest.kill()
                end_lease(world.bus.nats_address, f"ingest.{world.site}")
        ingest.start()
        await until(ingest.connected)
    await device.all_acknowledged()

    async def all_are_there() -> bool:
        return {body["raw"] for _, body in await world.stored("SENSORS")} == set(range(900))

    await until(all_are_there)
    times = Counter(body["raw"] for _, body in await world.stored("SENSORS"))
    assert [number for number, count in times.items() if count > 1] == []
    await device.close()


async def test_each_message_of_the_factory_is_on_factory_once_and_in_order_when_ingest_is_killed(
    world: Any, until: Callable[..., Any]
) -> None:
    ingest = world.ingest(KAISER_MQTT_DIALECTS='["esp", "factory"]')
    await until(ingest.connected)
    device = await world.device()
    for kill in range(3):
        for number in range(kill * 300, (kill + 1) * 300):
            serial = f"S{number % 7}"
            state = {"serialNumber": serial, "orderId": f"n{number}", "actionState": None}
            await device.publish(number, f"module/v1/ff/{serial}/state", json.dumps(state).encode())
            if number % 300 == 200:
                ingest.kill()
                end_lease(world.bus.nats_address, f"ingest.{world.site}")
        ingest.start()
        await until(ingest.connected)
    await device.all_acknowledged()

    async def stored() -> list[tuple[str, int]]:
        return [(body["serial"], int(body["order_id"][1:])) for _, body in await world.stored("FACTORY")]

    async def all_are_there() -> bool:
        return {number for _, number in await stored()} == set(range(900))

    await until(all_are_there)
    found = await stored()
    assert [number for number, times in Counter(number for _, number in found).items() if times > 1] == []
    for serial in {serial for serial, _ in found}:
        numbers = [number for each, number in found if each == serial]
        assert numbers == sorted(numbers)
    assert any(subject == "factory.=.live" for subject, _ in await world.stored("FACTORY")), "some were packs"
    await device.close()
