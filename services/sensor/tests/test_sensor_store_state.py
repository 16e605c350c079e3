"""The event that readings cannot be stored, and that they can again."""

import json

from kaiser_common.bus.connection import connect
from kaiser_common.bus.consumer import Consumer
from kaiser_common.contract.subjects import SENSOR_STORE
from kaiser_sensor.consumers.storing import Storing
from kaiser_sensor.jobs.store_state import StoreState


async def test_a_store_that_is_paused_for_a_minute_is_reported_and_its_end_too(bus_settings):
    figures = iter((0.0, 59.0, 61.0, 66.0, 0.0))
    async with connect(bus_settings, "test") as bus:
        heard = await bus.client.subscribe("event.system_event.>")
        state = StoreState(bus, lambda: next(figures))
        for _ in range(5):
            await state.look()
        told = [json.loads((await heard.next_msg(60.0)).data) for _ in range(3)]
    key = ["store_paused", "sensor"]
    assert [(one["event"], one["severity"]) for one in told] == [
        ("conditions_over", "info"),
        ("store_paused", "critical"),
        ("conditions_over", "info"),
    ]
    assert [one["details"] for one in told] == [{"over": [key]}, {"source": "sensor", "paused_s": 61}, {"over": [key]}]


async def test_the_pause_of_the_store_counts_from_the_first_failure(bus_settings):
    async with connect(bus_settings, "test") as bus:
        storing = Storing(bus, None, None, note_rollups=True)
        taking = storing.taking(Consumer(bus, SENSOR_STORE))
        assert storing.paused_s == 0.0
        taking.postponed()
        first = storing.paused_s
        taking.postponed()
        assert storing.paused_s >= first
        taking.resumed()
        assert storing.paused_s == 0.0
