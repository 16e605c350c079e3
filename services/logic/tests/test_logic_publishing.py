"""Messages that logic publishes while NATS is away: each waits once, however often it is asked for; pure."""

import asyncio
from collections.abc import Sequence

import pytest
from jumping import JumpingLoop
from kaiser_common.bus.connection import BusUnavailable, Outgoing
from kaiser_logic.publish import events
from kaiser_logic.publish.events import EventPublisher

TWO = (Outgoing("event.system_event._", b"1", "end-1"), Outgoing("event.system_event._", b"2", "end-2"))
OTHER = Outgoing("event.system_event._", b"3", "end-3")
SEVEN_HOURS_S = 7 * 3600


class Away:
    """NATS, which is away at first; `stored` has the ids of what it took."""

    def __init__(self) -> None:
        self.is_away = True
        self.stored: list[str] = []

    async def publish_batch(self, messages: Sequence[Outgoing]) -> None:
        if self.is_away:
            raise BusUnavailable("away")
        self.stored += [message.msg_id for message in messages]


async def publish_through_an_outage(publisher: EventPublisher, bus: Away) -> None:
    running = asyncio.create_task(publisher.run())
    for _ in range(SEVEN_HOURS_S // 5):
        assert not await publisher.publish_within(*TWO, within_s=5.0)
    publisher.publish(OTHER)
    bus.is_away = False
    assert await publisher.publish_within(*TWO, within_s=5.0)
    await asyncio.sleep(5.0)
    assert bus.stored == ["end-1", "end-2", "end-3"]
    assert await publisher.publish_within(*TWO, within_s=5.0)
    assert bus.stored == ["end-1", "end-2", "end-3", "end-1", "end-2"]
    running.cancel()


async def publish_where_no_place_is_left(publisher: EventPublisher, bus: Away) -> None:
    running = asyncio.create_task(publisher.run())
    publisher.publish(OTHER)
    await asyncio.sleep(1.0)  # it is being published
    publisher.publish(OTHER)
    assert not await publisher.publish_within(*TWO, within_s=5.0)  # dropped, and not waited for without end
    bus.is_away = False
    await asyncio.sleep(5.0)
    assert await publisher.publish_within(*TWO, within_s=5.0)
    assert bus.stored[-2:] == ["end-1", "end-2"]
    running.cancel()


@pytest.mark.parametrize(
    ("scene", "places"), [(publish_through_an_outage, 10), (publish_where_no_place_is_left, 2)], ids=["away", "full"]
)
def test_a_message_that_is_asked_for_again_while_nats_is_away_waits_once(scene, places, monkeypatch):
    monkeypatch.setattr(events, "_MOST_WAITING", places)
    loop = JumpingLoop()
    bus = Away()
    try:
        loop.run_until_complete(scene(EventPublisher(bus), bus))
    finally:
        loop.close()
