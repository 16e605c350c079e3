"""Up to when all that devices said is noted, from what JetStream says of the consumer; and that it says so."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from kaiser_actuator.jobs.heard import HeardUpTo
from kaiser_common.bus.connection import connect
from kaiser_common.bus.consumer import Consumer, ConsumerPosition
from kaiser_common.contract.subjects import ACTUATOR

START = datetime(2026, 1, 1, tzinfo=UTC)
NEVER = datetime.min.replace(tzinfo=UTC)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


IDLE = ConsumerPosition(pending=0, unacknowledged=0, delivered=7, acknowledged=7)
BEHIND = ConsumerPosition(pending=3, unacknowledged=1, delivered=7, acknowledged=6)
AT_WORK = ConsumerPosition(pending=0, unacknowledged=2, delivered=9, acknowledged=7)
MORE = ConsumerPosition(pending=0, unacknowledged=1, delivered=10, acknowledged=9)


@pytest.mark.parametrize(
    ("answers", "heard"),
    [
        ([None], NEVER),
        ([IDLE], at(0)),
        ([IDLE, IDLE], at(1)),
        ([BEHIND, BEHIND], NEVER),
        ([IDLE, BEHIND, None], at(0)),
        ([AT_WORK], NEVER),
        ([AT_WORK, AT_WORK], NEVER),
        ([AT_WORK, MORE], at(0)),  # what was delivered at 0 s is acknowledged; what came since is not
        ([BEHIND, AT_WORK, IDLE], at(1)),
        ([BEHIND, AT_WORK, IDLE, IDLE], at(3)),
    ],
)
async def test_what_came_before_the_last_message_was_delivered_is_noted_once_all_of_it_is_acknowledged(answers, heard):
    said = iter(answers)

    async def position() -> ConsumerPosition | None:
        return next(said)

    following = HeardUpTo(position)
    for second in range(len(answers)):
        found = await following.up_to(at(second))
    assert found == heard


async def test_a_message_counts_as_unheard_until_it_is_acknowledged(bus_settings):
    async with connect(bus_settings, "actuator") as bus, Consumer(bus, ACTUATOR).open() as consumer:
        following = HeardUpTo(consumer.position)
        assert await following.up_to(at(0)) == at(0)
        await bus.jetstream.publish("esp.actuator.status.god.ESP_A.5", b"{}")
        async for batch in consumer:
            assert await following.up_to(at(1)) == at(0)
            await consumer.ack(batch)
            break
        async with asyncio.timeout(60):
            while await following.up_to(at(2)) < at(2):  # noqa: ASYNC110 - the server says so only when asked
                await asyncio.sleep(0.01)
