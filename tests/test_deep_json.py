"""JSON that nests deep, where Kaiser reads what others wrote: each reader takes, refuses or masks it, and lives on."""

import contextlib
import json
from collections.abc import Callable

import pytest
from kaiser_common.bus.dead_letters import _named_in
from kaiser_common.contract.schemas.api.devices import Metadata
from kaiser_common.contract.schemas.event import OutboxMessage
from kaiser_common.contract.schemas.factory import FactoryCommandEntry, FactoryEnvironment
from kaiser_factory.store.entries import shown
from kaiser_factory_dialect.json_items import items_of
from kaiser_factory_dialect.payload import nests_at_most
from kaiser_factory_dialect.reading import Arrival, read
from kaiser_factory_dialect.recordings import parse_file, parse_lines, parse_rows, to_meta_line
from kaiser_gateway.domain.compat.frames import said
from kaiser_gateway.domain.details import details_of, diff_of
from kaiser_gateway.domain.frames import Event
from kaiser_gateway.domain.kept import TopicMessage
from kaiser_ingest.domain.factory_dialect import FactoryDialect
from kaiser_ingest.domain.incoming import Incoming
from kaiser_ingest.domain.judge import judge
from kaiser_ingest.domain.masking import without_secrets
from kaiser_ingest.domain.replays import to_outgoing_again
from kaiser_ingest.domain.taps import Fate, Taps
from kaiser_ingest.domain.usual import usual_reading
from kaiser_ingest.domain.validate import validate
from kaiser_simulator.domain.firmware import to_object
from pydantic import TypeAdapter

NOW = 1_800_000_000_000
ESP = "kaiser/god/esp/ESP_A"
SENSOR_DATA = f"{ESP}/sensor/4/data"
SPOKEN = ["sensor/4/data", "sensor/batch", "system/heartbeat", "system/will", "actuator/5/status", "actuator/5/alert"]
OF_FACTORY = ["ccu/order/active", "ccu/order/request", "ccu/state/layout", "module/v1/ff/S1/state", "/j1/txt/1/i/ldr"]
LEVELS = [700, 1_200, 100_000]
EDGE = range(880, 1_005)
"""About where Python's own limit is: it depends on who calls."""


def lists(levels: int) -> str:
    return "[" * levels + "1" + "]" * levels


def objects(levels: int) -> str:
    return '{"a":' * levels + "1" + "}" * levels


def mask(payload: bytes) -> None:
    found = without_secrets(payload)
    assert b'"token":1' not in found
    assert found in ("•••".encode(), payload.replace(b'"token":1', '"token":"•••"'.encode()))


def observe(payload: bytes) -> None:
    dialect = FactoryDialect(("uagv",), ("kaiser/#",), ("kaiser/god/esp/#",), lambda *_: None)
    dialect.enter(FactoryEnvironment(env="live", kind="live", epoch=1), 1, ("kaiser/god/esp/#",))
    message = Incoming(SENSOR_DATA.encode(), payload, 1, 1, False, False, 1, NOW)
    assert dialect.keep(message, SENSOR_DATA, "sensor.data", "id") is not None


def look(payload: bytes) -> None:
    taps = Taps()
    taps.look("ESP_A", NOW)
    taps.came(SENSOR_DATA, payload, NOW, Fate("accepted"))
    assert len(taps.look("ESP_A", NOW)[1]) == 1


def take(payload: bytes) -> None:
    usual_reading(SENSOR_DATA.encode(), payload, NOW)
    for words in SPOKEN:
        assert validate(f"{ESP}/{words}", payload, NOW, False)


def send(payload: bytes) -> None:
    assert judge("mqtt.out.god.ESP_A.setup", OutboxMessage(topic=f"{ESP}/config", payload=payload.decode()))


def replay(payload: bytes) -> None:
    body = b'{"esp_id":"ESP_A",' + payload[1:]
    to_outgoing_again("esp.actuator.status.god.ESP_A.5", body, {"ESP_A": "god"}, "id")


def take_of_factory(payload: bytes) -> None:
    for topic in OF_FACTORY:
        read(Arrival(topic, payload, NOW))


def record(payload: bytes) -> None:
    line = b'{"topic":"a","timestamp":"2026-01-01T00:00:00Z","payload":' + payload + b"}"
    described = b'{"_kind":"session_meta","more":' + payload + b"}"
    found = parse_lines([described, line, b'{"topic":"b"}'])
    assert found.messages[-1].topic == "b"
    to_meta_line(found.meta)
    json.dumps(found.meta)
    with contextlib.suppress(ValueError):
        parse_file("a.json", b"[" + line + b"]")
    with contextlib.suppress(ValueError):
        parse_rows(items_of(iter([b"[" + line + b"]"])))


def show_in_the_journal(payload: bytes) -> None:
    entry = FactoryCommandEntry(
        env="live", epoch=1, command_id="c", do="publish", topic="t", payload=shown(payload), state="queued",
        user="u", queued_at=NOW, ts=NOW,
    )  # fmt: skip
    assert FactoryCommandEntry.model_validate_json(entry.model_dump_json()) == entry


def show_in_the_message_centre(payload: bytes) -> None:
    new = TopicMessage(2, "t", NOW, len(payload), 1, False, False, "observed", payload)
    old = TopicMessage(1, "t", NOW, len(payload), 1, False, False, "observed", payload.replace(b"1", b"2"))
    details_of(new).model_dump_json()
    diff_of(new, old).model_dump_json()
    diff_of(new, new).model_dump_json()


def show_in_a_frame(payload: bytes) -> None:
    Event("sensor_data", "ESP_A", 1, 1.0, payload).key()


def hear_the_frontend(payload: bytes) -> None:
    said(payload.decode())


def describe_a_device(payload: bytes) -> None:
    try:
        given = json.loads(payload)
    except RecursionError:
        return  # FastAPI refuses a body that cannot be read, whatever it raises
    with contextlib.suppress(ValueError):
        TypeAdapter(Metadata).validate_python(given)


def put_aside(payload: bytes) -> None:
    _named_in(payload)


def simulate(payload: bytes) -> None:
    with contextlib.suppress(ValueError):
        to_object(payload.decode())


READERS = [
    mask, observe, look, take, send, replay, take_of_factory, record, show_in_the_journal, show_in_the_message_centre,
    show_in_a_frame, hear_the_frontend, describe_a_device, put_aside, simulate,
]  # fmt: skip


@pytest.mark.parametrize("nested", [lists, objects])
@pytest.mark.parametrize("levels", LEVELS)
@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.__name__)
def test_json_that_nests_deep_ends_no_process(
    reader: Callable[[bytes], None], levels: int, nested: Callable[[int], str]
) -> None:
    reader(b'{"token":1,"a":%b}' % nested(levels).encode())


@pytest.mark.parametrize("nested", [lists, objects])
@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.__name__)
def test_json_that_nests_just_as_deep_as_python_follows_ends_no_process(
    reader: Callable[[bytes], None], nested: Callable[[int], str]
) -> None:
    for levels in EDGE:
        reader(b'{"token":1,"a":%b}' % nested(levels).encode())


def test_how_deep_a_value_nests_is_told_of_any():
    assert [nests_at_most(json.loads(text), 2) for text in ("1", "[[1]]", '{"a":[1]}', "[[[]]]", '[{"a":[]}]')] == [
        True, True, True, False, False,
    ]  # fmt: skip
    assert not nests_at_most(json.loads(lists(900)), 800)
    assert nests_at_most(json.loads(lists(900)), 900)
