"""The stream REJECTED on a real NATS server: a share for each device, and the update of an older installation's."""

import base64
from collections.abc import AsyncIterator

import pytest
from kaiser_common.bus import declare
from kaiser_common.bus.connection import Bus, Outgoing, connect
from kaiser_common.contract.schemas.event import RejectedMessage
from kaiser_common.contract.subjects import REJECTED, rejected_subject
from kaiser_common.runtime.settings import CommonSettings

FLOOD = 3000
KEPT = 2000
DAYS_AGO = 1_767_225_600_000


@pytest.fixture
async def bus(nats_factory) -> AsyncIterator[Bus]:
    """A bus on a server of its own, without streams."""
    async with connect(CommonSettings(nats_url=nats_factory().url), "test") as bus:
        yield bus


def rejections(bus: Bus, esp_id: str, code: int, count: int, payload_bytes: int = 100) -> list[Outgoing]:
    """Rejected messages of a device, as ingest stores them."""
    body = RejectedMessage(
        topic=f"kaiser/god/esp/{esp_id}/sensor/34/data",
        payload_base64=base64.b64encode(b"\xff" * payload_bytes).decode(),
        code=code,
        message="no JSON",
        esp_id=esp_id,
        received_at=DAYS_AGO,
    )
    encoded = body.model_dump_json().encode()
    return [Outgoing(rejected_subject(code, esp_id), encoded, bus.message_id()) for _ in range(count)]


async def kept(bus: Bus) -> dict[str, int]:
    """Messages in REJECTED by subject."""
    info = await bus.jetstream.stream_info(REJECTED.name, subjects_filter="rejected.>")
    return dict(info.state.subjects or {})


async def test_a_flood_of_one_device_pushes_out_no_rejection_of_another(bus):
    # a tenth of the real size, so that the flood alone would fill it
    small = declare.stream_config(REJECTED) | {"max_bytes": REJECTED.max_bytes // 10}
    await declare._apply_stream(bus, REJECTED.name, small)
    await bus.publish_batch(rejections(bus, "ESP_QUIET", 5205, 3))
    for code in (5209, 5206):
        await bus.publish_batch(rejections(bus, "ESP_FLOOD", code, FLOOD, payload_bytes=16 * 1024))
    assert (await kept(bus))["rejected.5205.ESP_QUIET"] == 3
    assert (await kept(bus))["rejected.5209.ESP_FLOOD"] <= KEPT


def test_a_device_that_causes_every_code_with_the_largest_payloads_leaves_room_for_others():
    codes, largest = 13, 16 * 1024 * 4 // 3 + 1024
    assert REJECTED.most_per_subject == KEPT
    assert codes * KEPT * largest < 0.6 * REJECTED.max_bytes


async def test_the_stream_of_an_older_installation_is_updated_in_place(bus):
    without = declare.stream_config(REJECTED) | {"max_msgs_per_subject": -1}
    await declare._apply_stream(bus, REJECTED.name, without)
    await bus.publish_batch(rejections(bus, "ESP_FLOOD", 5209, FLOOD))
    await bus.publish_batch(rejections(bus, "ESP_QUIET", 5205, 3))
    assert "REJECTED" in await declare.apply(bus)
    assert await kept(bus) == {"rejected.5209.ESP_FLOOD": KEPT, "rejected.5205.ESP_QUIET": 3}
    assert "REJECTED" not in await declare.apply(bus)
