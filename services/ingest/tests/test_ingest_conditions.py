"""Conditions that ingest reports of itself: rejections over a share, streams and a disk that fill."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kaiser_common.bus.connection import connect
from kaiser_common.bus.declare import apply
from kaiser_common.contract.standing import ConditionKey
from kaiser_common.contract.subjects import OUTBOX
from kaiser_common.runtime.settings import CommonSettings
from kaiser_ingest.domain.rejection_share import RejectionWindow
from kaiser_ingest.jobs.conditions import disk_seen, streams_seen
from kaiser_ingest.jobs.streams import StreamFills

ESP = "ESP_C0ND1T10"


@pytest.mark.parametrize(
    ("looks", "share"),
    [
        ([(0, 0, 0)], 0.0),
        ([(0, 0, 0), (10, 9, 9)], 0.045),
        ([(0, 0, 0), (10, 10, 1000)], 0.01),
        ([(0, 500, 500), (10, 500, 2500)], 0.0),
        ([(0, 0, 0), (10, 100, 100), (200, 100, 1000), (310, 100, 2000)], 0.0),
    ],
)
def test_the_share_of_rejections_is_of_the_last_five_minutes_and_of_two_hundred_messages_at_least(
    looks: list[tuple[float, int, int]], share: float
) -> None:
    window = RejectionWindow()
    found = [window.look(*look) for look in looks]
    assert found[-1].share == share


def test_the_disk_of_a_folder_that_is_not_there_yet_is_seen(tmp_path: Path) -> None:
    [(key, seen)] = disk_seen(tmp_path / "not" / "there").items()
    assert key == ConditionKey("disk_filling")
    assert 0.0 < seen.figure <= 1.0


async def test_the_fill_of_each_stream_that_refuses_is_seen(nats_factory: Callable[..., Any]) -> None:
    async with connect(CommonSettings(nats_url=nats_factory().url), "test") as bus:
        await apply(bus)
        config = (await bus.jetstream.stream_info(OUTBOX.name)).config
        config.max_bytes = 100_000
        await bus.jetstream.update_stream(config)
        for number in range(8):
            await bus.publish("mqtt.out.god.ESP_1.setup", bytes(10_000), str(number))
        seen = streams_seen(await StreamFills(bus).look())
    found = {key.source: round(each.figure, 1) for key, each in seen.items()}
    assert found == {"SENSORS": 0.0, "DEVICES": 0.0, "OUTBOX": 0.8, "AUDIT": 0.0, "FACTORY": 0.0}


async def test_rejections_over_a_share_and_a_full_disk_are_reported_again_by_the_next_holder(
    world: Any, until: Callable[..., Any]
) -> None:
    source = f"ingest.{world.site}"

    async def reported(since: int) -> dict[str, Any]:
        found = [body for subject, body in (await world.stored("EVENTS"))[since:] if "system_event" in subject]
        return {body["event"]: body["details"] for body in found}

    ingest = world.ingest(KAISER_INGEST_DISK_FREE="0.9999999")
    await world.approve([ESP])
    await until(ingest.connected)
    device = await world.device()
    for number in range(12):
        await device.publish(number, world.topic(ESP, "sensor/4/data"), b"{no json %d" % number)
    await device.all_acknowledged()

    async def both() -> bool:
        found = await reported(0)
        return {"rejections_many", "disk_filling"} <= found.keys()

    await until(both)
    found = await reported(0)
    assert found["rejections_many"] == {"source": source, "percent": 6}
    assert found["disk_filling"]["source"] == ""
    before = len(await world.stored("EVENTS"))
    ingest.kill()
    world.ingest(KAISER_INGEST_DISK_FREE="0.9999999")

    async def again() -> Any:
        return {"conditions_over", "disk_filling"} <= (await reported(before)).keys()

    await until(again)
    over = (await reported(before))["conditions_over"]["over"]
    assert ["rejections_many", source] in over
    assert json.dumps(over).count("stream_filling") == 5
    await device.close()
