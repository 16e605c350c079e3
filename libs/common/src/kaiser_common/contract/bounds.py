"""The bounds of each field of a device's message, defined once: for the checks in ingest, the models and the tables.

An integer within these bounds fits the column that stores it (int4; int8 or timestamptz for times; `runtime_ms` is not
stored), and a part of a key fits an index row (PostgreSQL refuses index rows over 2,704 bytes). docs/devices.md lists
them.
"""

from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

INT4_MAX = 2**31 - 1

MAX_NUMBER = 1e15
"""No sensor measures more; sums and averages of such values stay finite in a double."""
MAX_UPTIME_S = INT4_MAX
MAX_HEAP_BYTES = INT4_MAX
MIN_RSSI_DBM, MAX_RSSI_DBM = -127, 0
MAX_COUNT = 1000
MAX_EXACT = 2**53 - 1
"""The largest integer that every JSON reader keeps exactly (RFC 8259 §6); clients in JavaScript round larger ones."""
MAX_RUNTIME_MS = MAX_EXACT
MAX_DEVICE_TIME_MS = MAX_EXACT
"""Of a device's time that is not believed, also before 1970: what is farther off is kept as this."""
MAX_SEQUENCE = MAX_EXACT
MIN_ERROR_CODE, MAX_ERROR_CODE = -(2**31), INT4_MAX
MAX_EPOCH = INT4_MAX

LATEST_MS = 253_402_300_799_999
"""The last millisecond of the year 9999, and so of datetime. PostgreSQL's timestamptz goes further."""

MAX_CORRELATION_ID = 128
MAX_NAME = 64
MAX_UNIT = 16
MAX_TYPE_NAME = 40
MAX_COMMAND = 64
MAX_MESSAGE = 512
MAX_WORD = 64
"""Of words that a firmware chooses: states, reasons, categories, versions."""
MAX_LIST = 64
"""Items of a list in a message: refused items of a configuration, devices of a one-wire scan."""
MAX_DETAILS_BYTES = 4 * 1024
MAX_META_BYTES = 2 * 1024
MAX_DEPTH = 16
"""Of objects and lists in what is kept as the device sent it; JSON readers refuse about 200."""
MAX_SENSOR_TYPE = 50
MAX_ADDRESS = 16
MAX_I2C_ADDRESS = 0x7F
MAX_BATCH_ITEMS = 100

MAX_ID = 32
"""Of an esp_id and of a kaiser_id."""
MAX_GPIO = 48
"""The highest pin of a device."""
WHOLE_DEVICE_GPIO = 255
"""The gpio of an alert that concerns the device and no single pin. Firmware also writes it for "no pin"."""
MAX_PWM = 255
"""A duty cycle as the firmware counts it."""


def is_pin(gpio: int) -> bool:
    """Whether a gpio is a pin of a device."""
    return 0 <= gpio <= MAX_GPIO


def _pin_or_device(gpio: int) -> int:
    if not is_pin(gpio) and gpio != WHOLE_DEVICE_GPIO:
        raise ValueError(f"a gpio is 0 to {MAX_GPIO}, or {WHOLE_DEVICE_GPIO} for the whole device")
    return gpio


def _cut_at(limit: int) -> BeforeValidator:
    """Cut a text that is longer, with a mark: an older ingest let it through, and what is stored stays readable."""

    def cut(value: Any) -> Any:
        return f"{value[: limit - 1]}…" if isinstance(value, str) and len(value) > limit else value

    return BeforeValidator(cut)


Instant = Annotated[int, Field(ge=0, le=LATEST_MS)]
"""A time in ms since 1970 that datetime and the tables take."""
DeviceTime = Annotated[int, Field(ge=-(2**63), le=2**63 - 1)]
"""The time that a device gave, however wrong: it is kept as an int8 and never made a datetime."""
Id = Annotated[str, Field(max_length=MAX_ID)]
Pin = Annotated[int, Field(ge=0, le=MAX_GPIO)]
"""The gpio of a sensor or an actuator."""
PinOrDevice = Annotated[int, Field(ge=0, le=WHOLE_DEVICE_GPIO), AfterValidator(_pin_or_device)]
"""The gpio of an alert; of a firmware's setting that may name no pin."""
Pwm = Annotated[int, Field(ge=0, le=MAX_PWM)]
SequenceNumber = Annotated[int, Field(ge=0, le=MAX_SEQUENCE)]
SensorType = Annotated[str, Field(max_length=MAX_SENSOR_TYPE)]
Address = Annotated[str, Field(max_length=MAX_ADDRESS)]
I2cAddress = Annotated[int, Field(ge=0, le=MAX_I2C_ADDRESS)]
Unit = Annotated[str, Field(max_length=MAX_UNIT)]
Name = Annotated[str, _cut_at(MAX_NAME), Field(max_length=MAX_NAME)]
Uptime = Annotated[int, Field(ge=0, le=MAX_UPTIME_S)]
HeapBytes = Annotated[int, Field(ge=0, le=MAX_HEAP_BYTES)]
Rssi = Annotated[int, Field(ge=MIN_RSSI_DBM, le=MAX_RSSI_DBM)]
Count = Annotated[int, Field(ge=0, le=MAX_COUNT)]
ErrorCode = Annotated[int, Field(ge=MIN_ERROR_CODE, le=MAX_ERROR_CODE)]
Epoch = Annotated[int, Field(ge=0, le=MAX_EPOCH)]
CorrelationId = Annotated[str, Field(max_length=MAX_CORRELATION_ID)]
Word = Annotated[str, Field(max_length=MAX_WORD)]
CutWord = Annotated[str, _cut_at(MAX_WORD), Field(max_length=MAX_WORD)]
Message = Annotated[str, Field(max_length=MAX_MESSAGE)]
