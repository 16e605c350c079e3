"""The table of contents of sensor: which function takes which messages, and which answers which RPC method."""

from kaiser_common.bus.connection import Bus
from kaiser_common.bus.consumer import Consumer, Spacing
from kaiser_common.contract.methods.sensor import METHODS
from kaiser_common.contract.subjects import SENSOR_LIVE, SENSOR_RESPONSES, SENSOR_STORE
from kaiser_common.runtime.broker import Broker
from kaiser_common.runtime.wiring import UNREACHABLE, register

from kaiser_sensor.api.configs import ConfigApi
from kaiser_sensor.api.measurements import MeasureApi
from kaiser_sensor.api.overview import OverviewApi
from kaiser_sensor.api.readings import SensorApi
from kaiser_sensor.consumers.live import Live
from kaiser_sensor.consumers.responses import Responses
from kaiser_sensor.consumers.storing import Storing
from kaiser_sensor.settings import SensorSettings

MOST_PACKS = 256
"""Packs that wait in this process at most; of the largest size they are 128 MB."""
_SPACING = Spacing(least_s=0.02, small=500)
"""A transaction costs the database as much as a hundred rows: small ones come 20 ms apart."""

_ACKS_WITHIN_S = 0.1
"""An event is stored once, by its id, also where its reading comes again."""


def show(broker: Broker, bus: Bus, live: Live, settings: SensorSettings) -> None:
    """Register what sensor takes to show it, whatever the database does."""
    lines = settings.sensor_batch
    readings = Consumer(bus, SENSOR_LIVE, max_messages=MOST_PACKS, most_lines=lines, acks_within_s=_ACKS_WITHIN_S)
    broker.durable(readings)(live.on_readings)


def store(broker: Broker, bus: Bus, storing: Storing, responses: Responses, settings: SensorSettings) -> Consumer:
    """Register what sensor takes to store it, once its tables are there; the consumer of the readings."""
    lines = settings.sensor_batch
    readings = Consumer(bus, SENSOR_STORE, max_messages=MOST_PACKS, most_lines=lines, spacing=_SPACING)
    broker.durable(readings, storing.taking(readings))(storing.on_readings)
    broker.durable(Consumer(bus, SENSOR_RESPONSES))(responses.on_responses)
    return readings


def answer(
    broker: Broker, readings: SensorApi, overview: OverviewApi, configs: ConfigApi, measurements: MeasureApi
) -> None:
    """Register what sensor answers, once its tables are there."""
    register(
        broker.rpc(unavailable=UNREACHABLE),
        METHODS,
        {
            "latest": readings.latest,
            "data": readings.data,
            "buckets": readings.buckets,
            "completeness": readings.completeness,
            "overview": overview.overview,
            "configs": configs.page,
            "put_config": configs.put,
            "patch_config": configs.patch,
            "delete_config": configs.delete,
            "config_items": configs.items,
            "measure": measurements.measure,
            "read_measurement": measurements.read,
        },
    )
