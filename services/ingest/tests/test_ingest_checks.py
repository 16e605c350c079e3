"""A message is judged as of the clock that the API is given."""

import pytest
from kaiser_common.bus.rpc import Caller
from kaiser_common.contract.schemas.api.messages import CheckMessage
from kaiser_ingest.api.messages import MessagesApi

AT = 1_795_000_000_000
DAY_MS = 86_400_000
READING = CheckMessage(
    topic="kaiser/god/esp/ESP_1/sensor/4/data",
    payload={"ts": AT, "gpio": 4, "sensor_type": "ph", "raw": 1, "raw_mode": True},
)


@pytest.mark.parametrize(("after_ms", "verdict", "code"), [(DAY_MS, "accept", None), (DAY_MS + 1, "reject", 5207)])
async def test_a_reading_is_older_than_the_retention_by_the_clock_that_is_given(
    after_ms: int, verdict: str, code: int | None
) -> None:
    api = MessagesApi(None, {"ESP_1": None}, (), DAY_MS, lambda: AT + after_ms)
    found = await api.check(READING, Caller(user="ada", role="viewer"))
    assert (found.verdict, found.code) == (verdict, code)
