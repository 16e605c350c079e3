"""The consumer `factory-store`: a message on which it fails is rejected, its neighbours are stored once."""

import base64

import psycopg
import pytest
from consuming import FAR, consuming, handling, publish, stored
from kaiser_common.bus import declare
from kaiser_common.bus.connection import connect
from kaiser_common.contract.schemas.factory import FactoryEnvironment
from kaiser_common.contract.subjects import FACTORY_STORE, DurableConsumer, factory_pack_subject
from kaiser_common.runtime.database import open_pool
from kaiser_common.runtime.settings import CommonSettings
from kaiser_factory.consumers.journal import Journal
from kaiser_factory.consumers.messages import MessageStore
from kaiser_factory.store import writing
from kaiser_factory_dialect import wire
from kaiser_factory_dialect.catalogue import FactoryKind
from kaiser_factory_dialect.messages import MachineConnection
from pydantic import SecretStr
from waiting import until

NOW_MS = 1_767_225_600_000
ENVIRONMENT = FactoryEnvironment(env="live", kind="live", epoch=3)


def packed(*messages: tuple[str, bytes]) -> tuple[str, bytes]:
    """Messages that arrived together, as ingest publishes them; a body that is no JSON object is a line as it is."""
    lines = [wire.to_line(body, f"id{n}") if body[-1:] == b"}" else body for n, (_, body) in enumerate(messages)]
    return factory_pack_subject("live"), b"\n".join(lines)


def connected(token: str, **fields: object) -> tuple[str, bytes]:
    """A module that says that it is connected, as ingest publishes it."""
    stated = {"kind": FactoryKind.MODULE_CONNECTION, "topic": "t", "ts": NOW_MS, "epoch": 3, "serial": token}
    message = MachineConnection(**(stated | {"source": "device", "connection": "ONLINE"} | fields))  # type: ignore[arg-type]
    return f"factory.live.module.connection.{token}", wire.encode(message)


def bad_line(text: bytes) -> tuple[str, bytes]:
    """A line of a pack that is no message."""
    return factory_pack_subject("live"), text


@pytest.mark.parametrize(
    ("poison", "code"),
    [
        (connected("BUG"), 5407),
        (("factory.live.module.connection.BAD", b"{not json"), 5407),
        (("factory.live.module.dance.BAD", b"{}"), 5407),
        (("factory.live.sent.=Z", b"{}"), 5407),
        (connected("BAD", ts=FAR), 5407),
        (connected("BAD", serial="\0"), 5305),
    ],
    ids=["bug", "no JSON", "unknown kind", "receipt of nothing", "far time", "text that no column takes"],
)
async def test_factory_store_rejects_poison_and_stores_its_neighbours(
    bus_settings: CommonSettings, database: str, monkeypatch: pytest.MonkeyPatch, poison: tuple[str, bytes], code: int
) -> None:
    messages = [connected("S1"), poison, connected("S2")]
    assert await rejections_of(FACTORY_STORE, messages, bus_settings, database, monkeypatch) == [
        (code, poison[0], poison[1])
    ]


@pytest.mark.parametrize(
    ("poison", "code"),
    [
        (connected("BUG"), 5407),
        (bad_line(b"{not json"), 5407),
        (bad_line(b""), 5407),
        (bad_line(b"[]"), 5407),
        (bad_line(b'{"kind": "module.dance"}'), 5407),
        (bad_line(b'{"kind": "observed"}'), 5407),
        (connected("BAD", ts=FAR), 5407),
        (connected("BAD", serial="\0"), 5305),
    ],
    ids=["bug", "no JSON", "empty", "list", "unknown kind", "kind that is not read", "far time", "text for no column"],
)
async def test_of_a_pack_the_bad_line_alone_is_rejected(
    bus_settings: CommonSettings, database: str, monkeypatch: pytest.MonkeyPatch, poison: tuple[str, bytes], code: int
) -> None:
    pack = packed(connected("S1"), poison, connected("S2"))
    line = pack[1].split(b"\n")[1]
    assert await rejections_of(FACTORY_STORE, [pack], bus_settings, database, monkeypatch) == [(code, pack[0], line)]


async def test_a_body_that_is_no_pack_is_rejected_as_a_whole(
    bus_settings: CommonSettings, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = bad_line(b"{}\n" * 5000)
    [(code, subject, _)] = await rejections_of(
        FACTORY_STORE, [connected("S1"), long, connected("S2")], bus_settings, database, monkeypatch
    )
    assert (code, subject) == (5407, long[0])


async def rejections_of(
    consumer: DurableConsumer,
    messages: list[tuple[str, bytes]],
    bus_settings: CommonSettings,
    database: str,
    monkeypatch: pytest.MonkeyPatch,
) -> list[tuple[int, str, bytes]]:
    """Code, subject and body of what is rejected of these messages; S1 and S2 are stored."""
    write = writing.write

    async def faulty(connection, rows, past) -> None:
        if any(each[2] == "BUG" for each in rows.transitions):
            raise ZeroDivisionError("a bug of the service")
        await write(connection, rows, past)

    monkeypatch.setattr(writing, "write", faulty)
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("TRUNCATE factory.transitions")
    with_database = bus_settings.model_copy(update={"database_url": SecretStr(database)})
    async with connect(bus_settings, "tests") as bus, open_pool(with_database, "factory", timeout_s=60.0) as pool:
        await publish(bus, messages)
        store = MessageStore(pool, Journal(bus, ENVIRONMENT))
        async with consuming(bus, consumer, handling(store.on_messages)) as loop:
            await loop.settled()
            with psycopg.connect(database) as connection:
                rows = connection.execute("SELECT serial, value FROM factory.transitions ORDER BY 1").fetchall()
            assert rows == [("S1", "ONLINE"), ("S2", "ONLINE")]
            assert await loop.readiness() == "ok"
            return [
                (body["code"], body["topic"], base64.b64decode(body["payload_base64"]))
                for _, body in await stored(bus, "REJECTED")
            ]


async def test_a_consumer_that_was_deleted_and_declared_again_stores_nothing_once_more(
    bus_settings: CommonSettings, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[tuple[str, str]] = []

    async def write(connection, rows, past) -> None:
        written.extend((each[2], each[4]) for each in rows.transitions)

    monkeypatch.setattr(writing, "write", write)
    with_database = bus_settings.model_copy(update={"database_url": SecretStr(database)})
    async with connect(bus_settings, "tests") as bus, open_pool(with_database, "factory", timeout_s=60.0) as pool:
        store = MessageStore(pool, Journal(bus, ENVIRONMENT))
        async with consuming(bus, FACTORY_STORE, handling(store.on_messages)) as loop:
            await publish(bus, [connected("S1"), connected("S1", connection="OFFLINE"), connected("S2")])
            await loop.settled()
            await bus.jetstream.delete_consumer(FACTORY_STORE.stream, FACTORY_STORE.name)
            await declare.apply(bus)
            await publish(bus, [connected("S3")])
            await until(lambda: ("S3", "ONLINE") in written)
            await loop.settled()
    assert written == [("S1", "ONLINE"), ("S1", "OFFLINE"), ("S2", "ONLINE"), ("S3", "ONLINE")]
