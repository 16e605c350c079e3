"""A pack that both consumers take is processed once; each gets the same readings whatever is remembered."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from kaiser_common.bus.pull import Delivery
from kaiser_sensor.domain.process import Processor
from kaiser_sensor.domain.processed import _MOST_READINGS, _OLDEST_S, PackProcessing
from kaiser_sensor.domain.reading import SensorReading
from kaiser_sensor.domain.rows import ProcessedReading

PROCESSOR = Processor({}, lambda sensor_type, reason: None)


def body(number: int, lines: int) -> bytes:
    """A pack of readings of one device, values from `number` on."""
    return b"\n".join(
        msgspec.json.encode(
            {
                "kaiser_id": "god",
                "esp_id": "ESP_00000001",
                "ts": 1_767_225_600_000 + number * 1000 + line,
                "clock": "device",
                "received_at": 1_767_225_600_000,
                "replayed": False,
                "gpio": 4,
                "sensor_type": "DS18B20",
                "address": "",
                "raw_mode": False,
                "quality": "good",
                "raw_value": number + line / 1000,
            }
        )
        for line in range(lines)
    )


def delivery(number: int, lines: int, attempt: int = 1) -> Delivery:
    reply = f"$JS.ACK.SENSORS.c.{attempt}.{number + 1}.{number + 1}.{1_767_225_600_000_000_000 + number}.0"
    return Delivery("esp.sensor.data.god.0", reply, body(number, lines), None)


class Counting:
    """Processes readings and counts them; `now` is its clock."""

    def __init__(self) -> None:
        self.times = 0
        self.now = 0.0
        self.packs = PackProcessing(self._process, lambda: self.now)

    def _process(self, reading: SensorReading) -> ProcessedReading:
        self.times += 1
        return PROCESSOR.process(reading, None)


def values(packs) -> list[float | None]:
    return [one.value for pack in packs for one in pack.readings]


def test_a_pack_that_both_consumers_take_is_processed_once_and_belongs_to_each_ones_delivery():
    counting = Counting()
    live, stored = delivery(1, 5), delivery(1, 5)
    [first], _ = counting.packs.take([live])
    [second], _ = counting.packs.take([stored])
    assert counting.times == 5
    assert first.readings == second.readings
    assert second.pack.delivery is stored
    assert counting.packs.take([delivery(1, 5, attempt=2)])[0][0].readings == first.readings
    assert counting.times == 10, "a redelivery is processed again"


def test_a_pack_with_an_invalid_line_says_so_to_both_consumers():
    counting = Counting()
    bad = Delivery("esp.sensor.data.god.0", delivery(1, 1).reply, body(1, 2) + b"\n{}", None)
    for _ in range(2):
        [pack], [(refused, _)] = counting.packs.take([bad])
        assert len(pack.readings) == 2
        assert refused.body == b"{}"


def test_some_lines_of_a_pack_are_not_taken_for_the_whole():
    counting = Counting()
    whole = delivery(1, 4)
    counting.packs.take([whole])
    first, second = whole.halves()
    assert values(counting.packs.take([first])[0]) == [1.0, 1.001]
    assert values(counting.packs.take([second])[0]) == [1.002, 1.003]
    assert values(counting.packs.take([whole])[0]) == [1.0, 1.001, 1.002, 1.003]


def test_memory_is_bounded_and_what_nobody_fetched_makes_room_after_a_time():
    counting = Counting()
    for number in range(2 * _MOST_READINGS // 1000):
        counting.packs.take([delivery(number, 1000)])
    assert counting.packs._readings == _MOST_READINGS
    counting.now += _OLDEST_S + 1
    counting.packs.take([delivery(500, 1000)])
    assert counting.packs._readings == 1000
    before = counting.times
    counting.packs.take([delivery(500, 1000)])
    assert counting.times == before


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=30), st.floats(0, 10))
def test_whatever_is_taken_in_whatever_order_the_readings_are_right(taken, step):
    counting = Counting()
    for number, _ in taken:
        counting.now += step
        assert values(counting.packs.take([delivery(number, 3)])[0]) == [number, number + 0.001, number + 0.002]
