"""A TXT's climate and brightness as readings of a device, so that charts and rules need no knowledge of TXT
controllers."""

import re
from typing import Literal

from kaiser_common.contract.topics import MOCK_PREFIX, SIMULATED_PREFIX, TXT
from msgspec import Struct

from kaiser_factory_dialect.messages import TxtSensor

EnvironmentKind = Literal["live", "mock", "replay"]
_PREFIXES: dict[EnvironmentKind, str] = {"live": "ESP_", "mock": MOCK_PREFIX, "replay": SIMULATED_PREFIX}
_CHANNELS = {
    "t": (1, "bme680_temp", "°C"),
    "h": (2, "bme680_humidity", "%"),
    "p": (3, "bme680_pressure", "hPa"),
    "iaq": (4, "bme680_iaq", "iaq"),
    "br": (5, "ldr_brightness", "%"),
}


_NAME = re.compile(r"[A-Z0-9_]{1,16}\Z")
"""A TXT's name that can be part of a device's id; on the factory's topics it is a number."""


class TxtReading(Struct, frozen=True):
    """One reading of a TXT. ts: ms of receipt."""

    device: str
    gpio: int
    sensor_type: str
    unit: str
    value: float
    ts: int


def readings_of(message: TxtSensor, environment: EnvironmentKind) -> list[TxtReading]:
    """The readings of a message: gpio 1 to 4 climate, 5 brightness. A retained message, whose time is old, has none."""
    device = device_of(message.serial, environment)
    if message.retained or device is None:
        return []
    return [
        TxtReading(device, gpio, sensor_type, unit, message.values[name], message.ts)
        for name, (gpio, sensor_type, unit) in _CHANNELS.items()
        if name in message.values
    ]


def device_of(serial: str | None, environment: EnvironmentKind) -> str | None:
    """The id of a TXT's device: ESP_TXT_n, MOCK_TXT_n or SIM_TXT_n, so that environments never share a chart.

    None where the name of the TXT cannot be part of an id.
    """
    if serial is None or _NAME.match(serial) is None:
        return None
    return f"{_PREFIXES[environment]}{TXT}{serial}"
