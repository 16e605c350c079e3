"""Requests and answers of the service alarm. Times are ms since 1970."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from kaiser_common.contract.bounds import MAX_NUMBER, Pin
from kaiser_common.contract.schemas.api.devices import EspId
from kaiser_common.contract.schemas.api.sensors import Address
from kaiser_common.contract.schemas.api.times import Milliseconds
from kaiser_common.contract.schemas.event import AlarmSeverity, AlarmState, AlarmStep, Fact

_FROZEN = ConfigDict(frozen=True)
_STRICT = ConfigDict(frozen=True, extra="forbid")

ALARM_ID = r"^[0-9a-f]{16}$"
KIND = r"^[a-z][a-z0-9_]{0,63}$"
Note = Annotated[str, Field(max_length=500)]
MAX_SHELVED_S = 30 * 24 * 3600

AlarmsShown = Literal["open", "closed", "all"]


class Alarm(BaseModel):
    """An alarm. kind and source together are its condition; source is a device, a sensor, a pin, a rule or empty.

    state: raised; acknowledged (the condition still holds); cleared (it holds no more, nobody has acknowledged yet);
    closed (in the history). shelved_until: until then it is silent. times: how often the condition began. step: the
    number of the newest step. last_raised_at: when the condition began last, or became worse. facts: the figures and
    words of `message` by name, for a sentence in another language; which ones depends on the kind.
    """

    model_config = _FROZEN

    alarm_id: str
    kind: str
    source: str
    severity: AlarmSeverity
    state: AlarmState
    message: str
    facts: dict[str, Fact] = {}
    esp_id: str | None = None
    gpio: int | None = None
    sensor_type: str | None = None
    address: str | None = None
    times: int = 1
    step: int = 1
    raised_at: int
    last_raised_at: int
    acknowledged_at: int | None = None
    acknowledged_by: str | None = None
    cleared_at: int | None = None
    closed_at: int | None = None
    shelved_until: int | None = None
    shelved_by: str | None = None


class AlarmEntry(BaseModel):
    """A step of an alarm. by: the user, None where Kaiser took the step itself."""

    model_config = _FROZEN

    step: int
    what: AlarmStep
    at: int
    by: str | None = None
    note: str | None = None
    severity: AlarmSeverity
    message: str


class AlarmWithSteps(BaseModel):
    """An alarm with its last 1,000 steps, oldest first."""

    model_config = _FROZEN

    alarm: Alarm
    steps: list[AlarmEntry]


class AlarmsQuery(BaseModel):
    """Which alarms: open ones, closed ones, or all; of a severity, kind, source, device, zone (in which the device is
    now); raised in a span of time."""

    model_config = _FROZEN

    shown: AlarmsShown = "open"
    severity: AlarmSeverity | None = None
    state: AlarmState | None = None
    kind: str | None = Field(default=None, pattern=KIND)
    source: str | None = Field(default=None, max_length=200, pattern=r"^[^\x00]*$")
    esp_id: EspId | None = None
    zone_id: str | None = Field(default=None, max_length=64, pattern=r"^[^\x00]*$")
    shelved: bool | None = None
    from_ms: Milliseconds | None = None
    to_ms: Milliseconds | None = None
    limit: int = Field(default=100, ge=1, le=1000)
    cursor: str | None = Field(default=None, max_length=200)


class AlarmsPage(BaseModel):
    """Alarms, the newest raised first."""

    items: list[Alarm]
    next_cursor: str | None = None


class ActiveAlarms(BaseModel):
    """The alarms whose condition holds and that are not shelved: the worst 200, the newest first among equals, and how
    many there are of each kind."""

    items: list[Alarm]
    kinds: dict[str, int]


class AlarmKey(BaseModel):
    """The id of an alarm."""

    model_config = _FROZEN

    alarm_id: str = Field(pattern=ALARM_ID)


class AcknowledgeBody(BaseModel):
    """Why, in a person's words; may be empty."""

    model_config = {**_STRICT, "json_schema_extra": {"examples": [{"note": "the valve is being repaired"}]}}

    note: Note = ""


class AcknowledgeAlarm(AlarmKey):
    """Acknowledge an alarm."""

    note: Note = ""


class ShelveBody(BaseModel):
    """Keep an alarm silent for some time, at most 30 days."""

    model_config = {
        **_STRICT,
        "json_schema_extra": {"examples": [{"for_s": 3600, "note": "the valve is being repaired"}]},
    }

    for_s: int = Field(ge=60, le=MAX_SHELVED_S, description="seconds", examples=[3600])
    note: Note = ""


class ShelveAlarm(AlarmKey):
    """Shelve an alarm."""

    for_s: int = Field(ge=60, le=MAX_SHELVED_S)
    note: Note = ""


Limit = Annotated[float, Field(ge=-MAX_NUMBER, le=MAX_NUMBER)]


class LimitsKey(BaseModel):
    """A sensor: its device, pin, type and address ("" for none)."""

    model_config = _FROZEN

    esp_id: EspId
    gpio: Pin
    sensor_type: str = Field(min_length=1, max_length=50)
    address: Address = ""


class LimitsBody(BaseModel):
    """Limits of a sensor's value in its unit: over hi_hi and under lo_lo is critical, over hi and under lo a warning.

    An alarm clears once the value is back behind its limit by `hysteresis`. It is raised once the value has been
    outside for `delay_s` by the times of the readings.
    """

    model_config = {
        **_STRICT,
        "json_schema_extra": {
            "examples": [{"hi_hi": 40, "hi": 32, "lo": 8, "lo_lo": 2, "hysteresis": 1, "delay_s": 60}]
        },
    }

    hi_hi: Limit | None = None
    hi: Limit | None = None
    lo: Limit | None = None
    lo_lo: Limit | None = None
    hysteresis: float = Field(default=0.0, ge=0, le=MAX_NUMBER)
    delay_s: int = Field(default=0, ge=0, le=86_400)


class PutLimits(BaseModel):
    """Set the limits of a sensor."""

    model_config = _FROZEN

    sensor: LimitsKey
    limits: LimitsBody


class SensorLimits(BaseModel):
    """The limits of a sensor, and who set them when."""

    model_config = _FROZEN

    sensor: LimitsKey
    limits: LimitsBody
    changed_at: int
    changed_by: str


class LimitsQuery(BaseModel):
    """Limits of a device's sensors, or of all."""

    model_config = _FROZEN

    esp_id: EspId | None = None
    limit: int = Field(default=100, ge=1, le=1000)
    cursor: str | None = Field(default=None, max_length=300)


class LimitsOfSensors(BaseModel):
    """Which sensors' limits are asked for."""

    model_config = _FROZEN

    sensors: list[LimitsKey] = Field(max_length=1000)


class LimitsPage(BaseModel):
    """Limits by sensor."""

    items: list[SensorLimits]
    next_cursor: str | None = None


class AlarmKindCount(BaseModel):
    """Of a kind in a span of time: how many alarms were raised, how often, and how long they stood on average."""

    kind: str
    severity: AlarmSeverity
    alarms: int
    times: int
    open: int
    mean_to_acknowledge_s: float | None = None
    mean_to_clear_s: float | None = None


class AlarmStatistics(BaseModel):
    """Open alarms by severity, the unacknowledged ones, and the kinds of the last days.

    critical, warning and info are raised or acknowledged and not shelved. unacknowledged: raised or cleared, not
    shelved; what the badge of the console counts.
    """

    critical: int
    warning: int
    info: int
    unacknowledged: int
    shelved: int
    worst: AlarmSeverity | None = None
    kinds: list[AlarmKindCount]


class StatisticsQuery(BaseModel):
    """The days up to now whose kinds are counted."""

    model_config = _FROZEN

    days: int = Field(default=7, ge=1, le=365)


class AlarmSpansQuery(BaseModel):
    """Which times in which a condition held: those that touch [from_ms, to_ms), also if they began before or are not
    over; of a device, or of_site: of none; of a severity, the worst in that time. 732 days at most."""

    model_config = _FROZEN

    from_ms: Milliseconds
    to_ms: Milliseconds
    esp_id: EspId | None = None
    of_site: bool = False
    severity: AlarmSeverity | None = None
    limit: int = Field(default=200, ge=1, le=1000)


class AlarmSpan(BaseModel):
    """A time in which the condition of an alarm held. begun_at, ended_at in ms; ended_at None: it still does. severity:
    the worst in that time; message and facts: as it began."""

    model_config = _FROZEN

    alarm_id: str
    kind: str
    source: str
    severity: AlarmSeverity
    message: str
    facts: dict[str, Fact] = {}
    esp_id: str | None = None
    gpio: int | None = None
    sensor_type: str | None = None
    begun_at: int
    ended_at: int | None = None


class AlarmSpans(BaseModel):
    """The newest times of a query, oldest first. left_out: there are older ones."""

    items: list[AlarmSpan]
    left_out: bool


FiguresBy = Literal["kind", "source", "zone"]


class AlarmFiguresQuery(BaseModel):
    """Figures of alarms in [from_ms, to_ms), 732 days at most, by default of the last seven, by kind, by source, or by
    the zone in which the device is now."""

    model_config = _FROZEN

    by: FiguresBy = "kind"
    from_ms: Milliseconds | None = None
    to_ms: Milliseconds | None = None


class AlarmFigure(BaseModel):
    """Figures of a kind, source or zone (`name`; empty for alarms of no device or zone) in a span of time.

    severity: the worst. times: how often a condition began in the span. conditions: how many different ones held in it.
    standing_s: for how long they held in it, added up; standing_now: how many still do. acknowledged: how often one was
    acknowledged in the span, and how long after it began: on average and at most. esp_id, gpio, sensor_type, address:
    of a source.
    """

    model_config = _FROZEN

    name: str
    severity: AlarmSeverity
    times: int
    conditions: int
    standing_s: float
    standing_now: int
    acknowledged: int = 0
    mean_to_acknowledge_s: float | None = None
    longest_to_acknowledge_s: float | None = None
    esp_id: str | None = None
    gpio: int | None = None
    sensor_type: str | None = None
    address: str | None = None


class AlarmFigures(BaseModel):
    """Figures, the longest standing first, at most 1,000. left_out: there are others."""

    by: FiguresBy
    from_ms: int
    to_ms: int
    items: list[AlarmFigure]
    left_out: bool
