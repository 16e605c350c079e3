"""The parts of an automation rule: conditions, actions and limits."""

from collections.abc import Iterator
from datetime import time
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, HttpUrl, model_validator

from kaiser_common.contract.bounds import Pin
from kaiser_common.contract.schemas.actuator import Command
from kaiser_common.contract.schemas.api.alarms import KIND
from kaiser_common.contract.schemas.api.devices import EspId
from kaiser_common.contract.schemas.api.patches import MergePatch
from kaiser_common.contract.schemas.api.sensors import SENSOR_TYPE, STRICT, Address
from kaiser_common.contract.schemas.event import AlarmSeverity

MAX_DEPTH = 5
MAX_CONDITIONS = 50
MAX_ACTIONS = 50
_WEEK_S = 604_800
ALARM_NAME = r"^[a-z0-9][a-z0-9_-]{0,63}$"
RULE_ALARM = "rule_alarm"
"""The kind of the alarms that rules raise; their source is the name that a rule gives."""

Number = Annotated[float, Field(allow_inf_nan=False)]
Held = Annotated[float, Field(ge=0, le=_WEEK_S, description="s that it must hold without a break before it counts")]


def _hour_and_minute(text: str) -> str:
    hour, minute = int(text[:2]), int(text[3:])
    if hour > 24 or minute > 59 or (hour == 24 and minute):
        raise ValueError(f"{text} is not a time of day")
    return text


def _timezone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"{name!r} is not an IANA time zone such as Europe/Berlin") from error
    return name


ClockTime = Annotated[str, Field(pattern=r"^\d\d:\d\d$", examples=["06:00"]), AfterValidator(_hour_and_minute)]


class OfSensor(BaseModel):
    """Which sensor; without a type whatever comes from the pin, without an address whichever probe there was newest.

    An actuator's state is read as type `actuator`. A misspelt field is refused: a `for_s` that is quietly dropped would
    switch a pump too early.
    """

    model_config = STRICT

    esp_id: EspId
    gpio: Pin
    sensor_type: str | None = Field(default=None, pattern=SENSOR_TYPE, description="canonical, as readings have it")
    address: Address | None = Field(default=None, description="of one of several probes on a pin or a bus")


class SensorThreshold(OfSensor):
    """The newest value of a sensor compared with a value, or with min and max (both included) for `between`."""

    type: Annotated[Literal["sensor_threshold", "sensor"], AfterValidator(lambda _: "sensor_threshold")]
    operator: Literal[">", ">=", "<", "<=", "==", "!=", "between"]
    value: Number | None = None
    min: Number | None = None
    max: Number | None = None
    for_s: Held = 0.0

    @model_validator(mode="after")
    def _has_what_its_operator_needs(self) -> Self:
        if self.operator != "between":
            if self.value is None or self.min is not None or self.max is not None:
                raise ValueError(f"operator {self.operator} needs value, and neither min nor max")
        elif self.min is None or self.max is None or self.value is not None:
            raise ValueError("operator between needs min and max, and no value")
        elif self.min > self.max:
            raise ValueError("min is above max")
        return self


class Hysteresis(OfSensor):
    """True from crossing one limit until crossing the other: activate_above with deactivate_below, or activate_below
    with deactivate_above. Between the two it stays as it was; false at first."""

    type: Literal["hysteresis"]
    activate_above: Number | None = None
    deactivate_below: Number | None = None
    activate_below: Number | None = None
    deactivate_above: Number | None = None
    for_s: Held = 0.0

    @model_validator(mode="after")
    def _is_one_pair_in_order(self) -> Self:
        match (self.activate_above, self.deactivate_below, self.activate_below, self.deactivate_above):
            case (float() as on, float() as off, None, None):
                if off >= on:
                    raise ValueError("deactivate_below is not below activate_above")
            case (None, None, float() as on, float() as off):
                if off <= on:
                    raise ValueError("deactivate_above is not above activate_below")
            case _:
                raise ValueError(
                    "hysteresis needs activate_above and deactivate_below, or activate_below and deactivate_above"
                )
        return self


class TimeWindow(BaseModel):
    """From start (included) to end (not included) by the clock of a time zone, across midnight where end is earlier.

    days_of_week: 0 Monday … 6 Sunday, the day on which the window starts; None every day.
    """

    model_config = STRICT

    type: Literal["time_window"]
    start: ClockTime
    end: ClockTime
    days_of_week: list[Annotated[int, Field(ge=0, le=6)]] | None = Field(default=None, min_length=1, max_length=7)
    timezone: Annotated[str, Field(max_length=64), AfterValidator(_timezone)] = "UTC"
    for_s: Held = 0.0

    @model_validator(mode="after")
    def _is_not_empty(self) -> Self:
        if self.start in (self.end, "24:00"):
            raise ValueError("the window is empty: for the whole day use 00:00 to 24:00")
        return self

    @property
    def start_time(self) -> time:
        """When it starts."""
        return time.fromisoformat(self.start)

    @property
    def end_time(self) -> time:
        """When it ends; midnight for 24:00, which then is across midnight."""
        return time.min if self.end == "24:00" else time.fromisoformat(self.end)


class Stale(OfSensor):
    """No usable reading of a sensor for after_s seconds."""

    type: Literal["stale"]
    after_s: float = Field(ge=1, le=_WEEK_S)
    for_s: Held = 0.0


class AlarmCondition(BaseModel):
    """At least one alarm of a kind is in a state; of a source, a device, and at least so severe, where these are given.

    state: `standing` while what raised it holds; `raised` and `acknowledged` are the parts of that before and after
    somebody acknowledged it; `cleared` once it holds no more, until somebody acknowledges.
    """

    model_config = STRICT

    type: Literal["alarm"]
    kind: str = Field(pattern=KIND, examples=["stop_in_force"])
    source: str | None = Field(default=None, max_length=200, description="as the alarm has it; None for any")
    esp_id: EspId | None = None
    severity: AlarmSeverity | None = Field(default=None, description="of this or a worse one; None for any")
    state: Literal["standing", "raised", "acknowledged", "cleared"] = "standing"
    for_s: Held = 0.0


class Compound(BaseModel):
    """AND: all, OR: at least one, NOT: its one condition is false."""

    model_config = STRICT

    type: Literal["compound"]
    operator: Literal["AND", "OR", "NOT"]
    conditions: list["Condition"] = Field(min_length=1, max_length=MAX_CONDITIONS)
    for_s: Held = 0.0

    @model_validator(mode="after")
    def _not_has_one(self) -> Self:
        if self.operator == "NOT" and len(self.conditions) != 1:
            raise ValueError(f"NOT needs exactly one condition, not {len(self.conditions)}")
        return self


Condition = Annotated[
    SensorThreshold | Hysteresis | TimeWindow | Stale | AlarmCondition | Compound, Field(discriminator="type")
]


class ActuatorAction(BaseModel):
    """A command for an actuator. value 0…1 for PWM; duration_s: off again after this time, 0 until further notice."""

    model_config = STRICT

    type: Annotated[Literal["actuator_command", "actuator"], AfterValidator(lambda _: "actuator_command")]
    esp_id: EspId
    gpio: Pin
    command: Annotated[Command, BeforeValidator(lambda given: given.upper() if isinstance(given, str) else given)]
    value: float | None = Field(default=None, ge=0.0, le=1.0)
    duration_s: int = Field(default=0, ge=0, le=_WEEK_S)

    @model_validator(mode="after")
    def _pwm_has_a_value(self) -> Self:
        if self.command == "PWM" and self.value is None:
            raise ValueError("PWM needs a value")
        return self


class Notification(BaseModel):
    """A system_event `rule_notification`, and a POST to the webhook if there is one."""

    model_config = STRICT

    type: Literal["notification"]
    message: str = Field(min_length=1, max_length=500)
    severity: Literal["info", "warning", "error", "critical"] = "info"
    webhook_url: HttpUrl | None = None


class AlarmAction(BaseModel):
    """Raises or clears the alarm `rule_alarm` of a name; rules that give the same name mean the same alarm.

    clear_when_false: of one that is raised; without it the alarm stands until a rule clears it.
    """

    model_config = STRICT

    type: Literal["alarm"]
    do: Literal["raise", "clear"]
    name: str = Field(pattern=ALARM_NAME, examples=["bed-1-dry"])
    severity: AlarmSeverity = "warning"
    message: str = Field(default="", max_length=500)
    clear_when_false: bool = Field(default=False, description="cleared once the conditions of the rule are false again")

    @model_validator(mode="after")
    def _raising_says_what_is_wrong(self) -> Self:
        if self.do == "raise" and not self.message:
            raise ValueError("raise needs a message")
        if self.do == "clear" and self.clear_when_false:
            raise ValueError("clear_when_false belongs to raise")
        return self


class Delay(BaseModel):
    """Waits before the next action."""

    model_config = STRICT

    type: Literal["delay"]
    seconds: float = Field(gt=0, le=3600)


Step = Annotated[ActuatorAction | Notification | AlarmAction | Delay, Field(discriminator="type")]


class Sequence(BaseModel):
    """Steps one after the other, each command waited for to its end. After a failure the rest is left out, unless
    abort_on_failure is false."""

    model_config = STRICT

    type: Literal["sequence"]
    actions: list[Step] = Field(min_length=1, max_length=MAX_ACTIONS)
    abort_on_failure: bool = True


Action = Annotated[ActuatorAction | Notification | AlarmAction | Delay | Sequence, Field(discriminator="type")]


def _as_list(given: Any) -> Any:
    return [given] if isinstance(given, dict) else given


EXAMPLE: dict[str, Any] = {
    "name": "Water bed 1",
    "conditions": [
        {
            "type": "sensor_threshold",
            "esp_id": "ESP_0A1B2C3D",
            "gpio": 34,
            "sensor_type": "soil_moisture",
            "operator": "<",
            "value": 30,
            "for_s": 10,
        },
        {"type": "time_window", "start": "06:00", "end": "20:00", "timezone": "Europe/Berlin"},
    ],
    "actions": [
        {
            "type": "actuator_command",
            "esp_id": "ESP_0A1B2C3E",
            "gpio": 25,
            "command": "ON",
            "duration_s": 60,
        }
    ],
    "mode": "level",
    "cooldown_s": 600,
}
"""A rule, for the documentation of the API."""


class RuleSettings(BaseModel):
    """A rule as an operator writes it. A list of conditions means that all must be true.

    mode: `edge` fires once each time the conditions become true, `level` again whenever cooldown_s is over while they
    are true. priority: of two rules that want the same actuator the higher number wins.
    """

    model_config = {
        **STRICT,
        "json_schema_extra": {"examples": [EXAMPLE]},
    }

    name: str = Field(min_length=1, max_length=100)
    description: str | None = Field(default=None, max_length=500)
    enabled: bool = True
    priority: int = Field(default=50, ge=0, le=1000)
    mode: Literal["edge", "level"] = "edge"
    conditions: Annotated[list[Condition], BeforeValidator(_as_list)] = Field(min_length=1, max_length=MAX_CONDITIONS)
    actions: list[Action] = Field(min_length=1, max_length=MAX_ACTIONS)
    cooldown_s: float = Field(default=0.0, ge=0, le=_WEEK_S)
    max_executions_per_hour: int | None = Field(default=None, ge=1, le=360)

    @model_validator(mode="after")
    def _is_bounded(self) -> Self:
        if self.mode == "level" and self.cooldown_s < 1:
            raise ValueError(
                "a rule of mode level needs a cooldown_s of at least 1: it fires again whenever the cooldown ends"
            )
        depth = max(map(_depth, self.conditions))
        if depth > MAX_DEPTH:
            raise ValueError(f"conditions are nested {depth} deep, at most {MAX_DEPTH} are allowed")
        count = sum(1 for one in self.conditions for _ in leaves(one))
        if count > MAX_CONDITIONS:
            raise ValueError(f"{count} conditions, at most {MAX_CONDITIONS} are allowed")
        return self


class RulePatch(MergePatch):
    """The settings of a rule to change; one that is left out stays as it is. A list is replaced as a whole."""

    model_config = {**STRICT, "json_schema_extra": {"examples": [{"enabled": False}]}}

    name: str = Field(default="", min_length=1, max_length=100)
    description: str | None = Field(default=None, max_length=500)
    enabled: bool = True
    priority: int = Field(default=50, ge=0, le=1000)
    mode: Literal["edge", "level"] = "edge"
    conditions: Annotated[list[Condition], BeforeValidator(_as_list)] = Field(
        default=[], min_length=1, max_length=MAX_CONDITIONS
    )
    actions: list[Action] = Field(default=[], min_length=1, max_length=MAX_ACTIONS)
    cooldown_s: float = Field(default=0.0, ge=0, le=_WEEK_S)
    max_executions_per_hour: int | None = Field(default=None, ge=1, le=360)


def leaves(condition: Condition) -> Iterator[SensorThreshold | Hysteresis | TimeWindow | Stale | AlarmCondition]:
    """The conditions that are no compounds."""
    if isinstance(condition, Compound):
        for one in condition.conditions:
            yield from leaves(one)
    else:
        yield condition


def _depth(condition: Condition) -> int:
    """1 for a condition that is no compound."""
    return 1 + max(map(_depth, condition.conditions)) if isinstance(condition, Compound) else 1
