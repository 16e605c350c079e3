"""The metric of actuators by state, on a real PostgreSQL."""

from kaiser_actuator.jobs.actuator_counts import ActuatorCounts
from kaiser_common.contract.schemas.device import DeviceRecord
from kaiser_common.runtime.database import open_pool
from kaiser_common.runtime.settings import CommonSettings
from prometheus_client import REGISTRY

ACTUATORS = """
    INSERT INTO actuator.actuators (esp_id, gpio, kaiser_id, registered, settings, state)
    VALUES ('ESP_HERE', 1, 'god', true, '{}', true), ('ESP_HERE', 2, 'god', true, '{}', false),
           ('ESP_HERE', 3, 'god', false, '{}', false), ('ESP_HERE', 4, 'god', true, '{}', NULL),
           ('ESP_AWAY', 1, 'god', true, '{}', true), ('ESP_AWAY', 2, 'god', true, '{}', false),
           ('ESP_STRANGER', 1, 'god', false, '{}', false)
"""


def counted() -> dict[str, float | None]:
    name = "kaiser_actuator_actuators"
    return {state: REGISTRY.get_sample_value(name, {"state": state}) for state in ("on", "off", "unknown")}


async def test_actuators_are_counted_by_state_and_those_of_an_offline_device_as_unknown(make_database):
    devices = {
        esp_id: DeviceRecord(esp_id=esp_id, kaiser_id="god", state="approved", online=esp_id == "ESP_HERE")
        for esp_id in ("ESP_HERE", "ESP_AWAY")
    }
    async with open_pool(CommonSettings(database_url=make_database()), "test") as pool:
        async with pool.connection() as connection:
            await connection.execute(ACTUATORS)
        counts = ActuatorCounts(pool, devices)
        await counts.count()
        assert counted() == {"on": 1, "off": 2, "unknown": 4}
        devices["ESP_AWAY"] = devices["ESP_AWAY"].model_copy(update={"online": True})
        await counts.count()
        assert counted() == {"on": 2, "off": 3, "unknown": 2}
        async with pool.connection() as connection:
            await connection.execute("DELETE FROM actuator.actuators")
        await counts.count()
        assert counted() == {"on": 0, "off": 0, "unknown": 0}
