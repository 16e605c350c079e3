"""How ingest takes connections that end: another client with its id, or a broker that dies; without servers."""

from typing import Any

import pytest
from kaiser_ingest.consumers.attempts import ConnectAttempts
from kaiser_ingest.mqtt.client import Closed
from kaiser_ingest.mqtt.connection import ConnectFailed


class Events:
    """Notes the names of system events."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def report(self, event: str, *_: Any, **__: Any) -> None:
        self.told.append(event)


LOST = (Closed("the connection was closed", None), 1.0)
LASTED = (Closed("the connection was closed", None), 60.0)
TAKEN = (Closed("0x8e session taken over", 0x8E), 60.0)
REFUSED = ConnectFailed("connection refused")
BUSY = ConnectFailed("0x88 server unavailable", 0x88)


@pytest.mark.parametrize(
    ("course", "times"),
    [
        ([TAKEN], 1),
        ([LOST], 0),
        ([LOST, LOST], 1),
        ([LOST, LASTED, LOST], 0),
        ([LOST, REFUSED, LOST, REFUSED, LOST], 0),
        ([LOST, BUSY, LOST, BUSY, LOST], 0),
        ([REFUSED, LOST, LOST], 1),
    ],
)
def test_another_client_is_the_cause_only_where_the_broker_was_there_all_the_time(course: list[Any], times: int):
    events = Events()
    attempts = ConnectAttempts(events, "here")  # type: ignore[arg-type]
    for step in course:
        if isinstance(step, ConnectFailed):
            attempts.failed(step, "esp", "127.0.0.1:1883")
        else:
            attempts.lost(*step, "127.0.0.1:1883")
    assert events.told.count("mqtt_session_taken_over") == times
