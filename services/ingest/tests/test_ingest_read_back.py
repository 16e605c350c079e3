"""An ingest that is killed between a pack and its PUBACKs: the next one leaves out what the pack holds."""

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

ESP_IDS = [f"ESP_{number:04}" for number in range(10)]


def without_a_clock(esp_id: str, number: int) -> bytes:
    fields = {"ts": 0, "esp_id": esp_id, "gpio": 34, "sensor_type": "ph", "raw": number, "raw_mode": True}
    return json.dumps(fields).encode()


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
        ingest.start()
        await until(ingest.connected)
    await device.all_acknowledged()

    async def all_are_there() -> bool:
        return {body["raw"] for _, body in await world.stored("SENSORS")} == set(range(900))

    await until(all_are_there)
    times = Counter(body["raw"] for _, body in await world.stored("SENSORS"))
    assert [number for number, count in times.items() if count > 1] == []
    await device.close()
