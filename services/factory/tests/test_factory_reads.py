"""Requests that read the past share some connections to the database; the others are for the store and for steering."""

from typing import Any

import pytest
from kaiser_common.bus.rpc import Caller
from kaiser_common.contract.schemas.api.factory import (
    CommandsQuery,
    FactoryCommandId,
    FactoryOrderId,
    FactoryOrdersQuery,
    QualityId,
    QualityQuery,
    SteerRequest,
    WindowQuery,
    WorkpieceId,
)
from kaiser_common.contract.schemas.factory import FactoryEnvironment
from kaiser_common.runtime.clock import now_ms
from kaiser_common.runtime.database import open_pool
from kaiser_common.runtime.settings import CommonSettings
from kaiser_factory.api.past import PastApi
from kaiser_factory.api.steering import SteeringApi
from kaiser_factory.consumers.journal import Journal
from kaiser_factory.domain.live import FactoryState
from psycopg_pool import PoolTimeout

ENVIRONMENT = FactoryEnvironment(env="live", kind="live", epoch=1)
OPERATOR = Caller(user="someone", role="operator")
PARK = SteerRequest(request={"do": "park"})
HOUR = WindowQuery(from_ms=1, to_ms=3_600_001)


class TakesAll:
    """A bus that takes what is published."""

    def __init__(self) -> None:
        self.subjects: list[str] = []

    def message_id(self) -> str:
        return "m"

    async def publish(self, subject: str, *_: Any, **__: Any) -> None:
        self.subjects.append(subject)

    async def publish_batch(self, *_: Any, **__: Any) -> None:
        return None


async def test_whatever_viewers_read_of_the_factory_a_command_finds_a_connection(make_database):
    """Figures of a long window may take as long as a statement may; the store and steering need connections too."""
    settings = CommonSettings(database_url=make_database(), database_pool_size=4)
    async with open_pool(settings, "test", timeout_s=60.0) as pool:
        bus, live = TakesAll(), FactoryState(ENVIRONMENT, ())
        past = PastApi(pool, lambda: ENVIRONMENT, lambda: live, now_ms)
        steering = SteeringApi(pool, Journal(bus, ENVIRONMENT), lambda: live, (), now_ms)
        async with pool.reading(), pool.reading():
            [sent] = (await steering.steer(PARK, OPERATOR)).commands
            assert bus.subjects == ["mqtt.factory.command._"]
            pool.timeout = 0.2
            for reading in (
                past.orders(FactoryOrdersQuery(), OPERATOR),
                past.timeline(FactoryOrderId(order_id="o"), OPERATOR),
                past.workpiece(WorkpieceId(workpiece_id="w"), OPERATOR),
                past.quality(QualityQuery(), OPERATOR),
                past.picture(QualityId(quality_id=1), OPERATOR),
                past.figures(HOUR, OPERATOR),
                steering.preview(PARK, OPERATOR),
                steering.commands(CommandsQuery(), OPERATOR),
                steering.command(FactoryCommandId(command_id=sent.command_id), OPERATOR),
            ):
                with pytest.raises(PoolTimeout, match="other requests read"):
                    await reading
        pool.timeout = 60.0
        assert (await steering.command(FactoryCommandId(command_id=sent.command_id), OPERATOR)).do == "park"
