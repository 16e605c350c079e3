"""Changes of configurations, one at a time: one that waits too long for the others is refused and stores nothing."""

import asyncio

import pytest
from kaiser_common.bus.rpc import Caller, RpcError
from kaiser_common.contract.schemas.api.sensors import ConfigsQuery, PatchSensor, SensorConfig, SensorKey, SensorPatch
from kaiser_common.runtime.database import open_pool
from kaiser_common.runtime.settings import CommonSettings
from kaiser_sensor.api.configs import ConfigApi

ADA = Caller(user="ada", role="operator")


class Bucket:
    """A bucket of a NATS that does not answer."""

    def __init__(self) -> None:
        self.asked, self.may_answer = asyncio.Event(), asyncio.Event()

    async def put(self, key: str, body: bytes) -> None:
        self.asked.set()
        await self.may_answer.wait()


class Types:
    """Every sensor type is canonical."""

    def canonical(self, sensor_type: str) -> str:
        return sensor_type


async def test_a_change_that_waits_too_long_for_others_is_refused_and_stores_nothing(make_database):
    bucket = Bucket()
    first, second = (SensorConfig(esp_id="TEST_A", gpio=gpio, sensor_type="ds18b20") for gpio in (4, 5))
    key = SensorKey(esp_id="TEST_A", gpio=4, sensor_type="ds18b20")
    async with open_pool(CommonSettings(database_url=make_database()), "test") as pool, asyncio.timeout(60):
        api = ConfigApi(pool, bucket, Types(), waits_s=0.0)  # type: ignore[arg-type]
        hanging = asyncio.create_task(api.put(first, ADA))
        await bucket.asked.wait()
        patch = PatchSensor(**key.model_dump(), patch=SensorPatch(name="tank"))
        for change in (api.put(second, ADA), api.patch(patch, ADA), api.delete(key, ADA)):
            with pytest.raises(RpcError, match="other configurations are being changed") as refused:
                await change
            assert (refused.value.problem.status, refused.value.problem.code) == (503, 5402)
        bucket.may_answer.set()
        await hanging
        stored = (await api.page(ConfigsQuery(), ADA)).items
        assert [(each.gpio, each.name) for each in stored] == [(4, first.name)]
