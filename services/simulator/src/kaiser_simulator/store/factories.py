"""The SQL of the mock factory: the only writer of `simulator.factories`."""

from typing import Any, NamedTuple

import msgspec
from kaiser_common.contract.schemas.api.mock_factory import CreateMockFactory
from kaiser_common.runtime.statements import execute, execute_many, fetch_all
from psycopg.rows import tuple_row
from sqlalchemy import bindparam, delete, func, select
from sqlalchemy.dialects.postgresql import insert

from kaiser_simulator.domain.plant.saying import Said
from kaiser_simulator.domain.plant.state import Plant
from kaiser_simulator.store import Connection
from kaiser_simulator.store.tables import factories

_c = factories.c
_NAMES = ("env", "epoch", "setup", "plant", "sequence", "said", "unsent")
_ADD = insert(factories).values({name: bindparam(name) for name in _NAMES})
_PUT = _ADD.on_conflict_do_update(
    index_elements=[_c.env],
    set_={name: _ADD.excluded[name] for name in _NAMES[1:]} | {"updated_at": func.now()},
)


class FactoryRow(NamedTuple):
    """The mock factory of an environment. sequence: the last message of TOPICS that it has received. unsent: what it
    said last, under the number `said`; it may not be on OUTBOX yet."""

    env: str
    epoch: int
    setup: CreateMockFactory
    plant: Plant
    sequence: int
    said: int
    unsent: list[Said]


async def save(connection: Connection, row: FactoryRow) -> None:
    """Write a mock factory as it is."""
    values: dict[str, Any] = {
        **row._asdict(),
        "setup": row.setup.model_dump_json(),
        "plant": msgspec.json.encode(row.plant).decode(),
        "unsent": msgspec.json.encode(row.unsent).decode(),
    }
    await execute_many(connection, _PUT, [values])


async def load(connection: Connection, env: str) -> FactoryRow | None:
    """The mock factory of an environment, None if there is none."""
    statement = select(*(_c[name] for name in _NAMES)).where(_c.env == env)
    for env_, epoch, setup, plant, sequence, said, unsent in await fetch_all(connection, tuple_row, statement):
        return FactoryRow(
            env_,
            epoch,
            CreateMockFactory.model_validate(setup),
            msgspec.convert(plant, Plant),
            sequence,
            said,
            [Said(*one) for one in unsent],
        )
    return None


async def remove(connection: Connection, env: str) -> None:
    """Forget the mock factory of an environment."""
    await execute(connection, delete(factories).where(_c.env == env))
