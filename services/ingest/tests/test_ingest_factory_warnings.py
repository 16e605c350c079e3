"""System events about the factory's topics: at most one an hour, however many messages cause them."""

import json

from kaiser_common.contract.schemas.factory import FactoryEnvironment
from kaiser_factory_dialect.catalogue import DEFAULT_INTERFACES
from kaiser_ingest.domain.factory_dialect import FactoryDialect, Taken
from kaiser_ingest.domain.incoming import Incoming

NOW = 1_771_000_000_000
HOUR_MS = 3_600_000
MOST_SERIALS = 1000


class Reader:
    """The dialect in the environment live, and the events that it asks for."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str]] = []
        self._dialect = FactoryDialect(DEFAULT_INTERFACES, (), (), self._warn)
        self._dialect.enter(FactoryEnvironment(env="live", kind="live", epoch=1, since=NOW), 1, ())

    def _warn(self, event: str, _: str, topic: str) -> None:
        self.events.append((event, topic))

    def take(self, topic: str, payload: object, at: int = NOW, *, retained: bool = False) -> Taken:
        body = json.dumps(payload).encode()
        return self._dialect.take(Incoming(topic.encode(), body, 1, 1, retained, False, 1, at), topic, f"{topic}.{at}")

    def state_of(self, serial: str, at: int = NOW) -> Taken:
        return self.take(f"module/v1/ff/{serial}/state", {"serialNumber": serial, "actionState": None}, at)


def test_one_serial_too_many_is_reported_once_an_hour_and_is_not_kept():
    reader = Reader()
    for number in range(MOST_SERIALS):
        assert reader.state_of(f"S{number}").message is not None
    assert reader.events == []
    for at in (NOW, NOW + 1, NOW + HOUR_MS - 1):
        for number in range(3):
            taken = reader.state_of(f"T{number}", at)
            assert (taken.reason, taken.message, taken.as_it_came) == ("too_many", None, None)
    assert reader.events == [("factory_too_many", "module/v1/ff/T0/state")]
    reader.state_of("T9", NOW + HOUR_MS)
    assert reader.events[1:] == [("factory_too_many", "module/v1/ff/T9/state")]
    assert reader.state_of("S7", NOW + HOUR_MS).message is not None


def test_each_retained_command_is_told_once_an_hour_and_is_not_read():
    reader = Reader()
    park = {"timestamp": "2026-02-13T16:26:39.000Z"}
    for at in (NOW, NOW + 1000, NOW + HOUR_MS):
        for topic in ("ccu/set/park", "ccu/set/reset"):
            taken = reader.take(topic, park, at, retained=True)
            assert (taken.reason, taken.message) == ("retained_command", None)
    told = [("factory_retained_command", "ccu/set/park"), ("factory_retained_command", "ccu/set/reset")]
    assert reader.events == told * 2
