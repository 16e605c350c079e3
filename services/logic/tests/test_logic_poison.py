"""The consumer `logic-store`: an execution on which it fails is rejected, its neighbours are written."""

import psycopg
import pytest
from consuming import FAR, consuming, handling, publish, rejected
from kaiser_common.bus.connection import connect
from kaiser_common.contract.schemas.api.logic import Execution
from kaiser_common.contract.subjects import LOGIC_STORE
from kaiser_common.runtime.database import open_pool
from kaiser_common.runtime.settings import CommonSettings
from kaiser_logic.consumers.executions import ExecutionMessages
from kaiser_logic.store import rules

NOW_MS = 1_767_225_600_000


def execution(name: str, **fields) -> tuple[str, bytes]:
    given = {"execution_id": name, "rule_id": name, "rule_name": name, "outcome": "succeeded", "started_at": NOW_MS}
    return f"logic.execution.{name}", Execution.model_construct(**(given | fields)).model_dump_json().encode()


@pytest.fixture
async def parts(bus_settings, database):
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("TRUNCATE logic.executions")
    async with (
        connect(bus_settings, "test") as bus,
        open_pool(CommonSettings(database_url=database), "test") as pool,
    ):
        yield bus, pool


@pytest.mark.parametrize(
    ("poison", "bug", "code"),
    [
        (execution("bad"), True, 5407),
        (("logic.execution.bad", b"{not json"), False, 5407),
        (execution("bad", started_at=FAR), False, 5407),
        (execution("bad", reason="\0"), False, 5305),
    ],
    ids=["bug", "no JSON", "time that no column takes", "text that no column takes"],
)
async def test_logic_store_rejects_poison_and_writes_its_neighbours(parts, database, monkeypatch, poison, bug, code):
    bus, pool = parts
    write = rules.note_executions

    async def faulty(connection, executions) -> None:
        if bug and any(one.execution_id == "bad" for one in executions):
            raise ZeroDivisionError("a bug of the service")
        await write(connection, executions)

    monkeypatch.setattr(rules, "note_executions", faulty)
    await publish(bus, [execution("before"), poison, execution("behind")])
    async with consuming(bus, LOGIC_STORE, handling(ExecutionMessages(pool).on_messages)) as loop:
        await loop.settled()
        with psycopg.connect(database) as connection:
            written = connection.execute("SELECT execution_id FROM logic.executions ORDER BY 1").fetchall()
        assert written == [("before",), ("behind",)]
        [(subject, came_on)] = await rejected(bus)
        assert (subject.split(".")[1], came_on) == (str(code), "logic.execution.bad")
        assert await loop.readiness() == "ok"
