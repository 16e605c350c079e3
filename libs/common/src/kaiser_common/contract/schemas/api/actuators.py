"""Actuators in the API: the registry, commands that are tracked to their end, and emergency stops."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from kaiser_common.contract.bounds import Pin, Pwm
from kaiser_common.contract.schemas import FROZEN
from kaiser_common.contract.schemas.actuator import Command
from kaiser_common.contract.schemas.api.devices import ESP_ID, EspId
from kaiser_common.contract.schemas.api.patches import MergePatch
from kaiser_common.contract.schemas.api.times import Milliseconds

ACTUATOR_TYPE = r"^[A-Za-z0-9_.-]{1,40}$"
_STRICT = ConfigDict(frozen=True, extra="forbid")
"""For what people send: a misspelt field must not mean something else."""
CommandStateName = Literal["queued", "sent", "acknowledged", "failed", "expired", "cancelled"]
OPEN_STATES: tuple[CommandStateName, ...] = ("queued", "sent")
OVERRULED = "OFF came after it"
"""`state_reason` of a command that is cancelled because an OFF came while it waited for its device."""
UNCONFIRMED = "the device is offline: OFF is sent all the same, and is confirmed once the device answers"
"""`state_reason` of an OFF to a device that is offline by the registry, until it ends."""
OPERATORS_STOP = "emergency stop by an operator"
OPERATORS_CLEAR = "cleared by an operator"
NO_REASON = "no reason given"
"""These are the reasons of stops and clears in Kaiser's words, where a person or a device gives none."""


class ActuatorSettings(BaseModel):
    """The settings of an actuator.

    max_runtime_s: longest time it may be on, 0 for no limit. min_value and max_value: allowed range of a PWM value.
    interlocks: gpios of the same device that must be off before this one may be switched on. default_pwm, 0 to 255, and
    aux_gpio, a second pin such as that of a direction, are for the device's configuration alone.
    """

    model_config = {
        **FROZEN,
        "json_schema_extra": {
            "examples": [{"actuator_type": "pump", "name": "Pump 1", "max_runtime_s": 600, "interlocks": [26]}]
        },
    }

    actuator_type: str = Field(default="relay", pattern=ACTUATOR_TYPE)
    name: str | None = Field(default=None, max_length=100)
    subzone_id: str | None = Field(default=None, max_length=64)
    active: bool = True
    inverted: bool = False
    critical: bool = False
    default_state: bool = False
    default_pwm: Pwm = 0
    aux_gpio: Pin | None = None
    max_runtime_s: int = Field(default=0, ge=0, le=604_800)
    min_value: float = Field(default=0.0, ge=0.0, le=1.0)
    max_value: float = Field(default=1.0, ge=0.0, le=1.0)
    interlocks: list[Pin] = Field(default=[], max_length=16)

    @model_validator(mode="after")
    def _range_in_order(self) -> "ActuatorSettings":
        if self.min_value > self.max_value:
            raise ValueError("min_value is above max_value")
        return self


class ActuatorBody(ActuatorSettings):
    """Settings as an operator sends them: no unknown field."""

    model_config = {**ActuatorSettings.model_config, "extra": "forbid"}


class ActuatorPatch(ActuatorBody, MergePatch):
    """The settings to change; one that is left out stays as it is."""

    model_config = {**ActuatorBody.model_config, "json_schema_extra": {"examples": [{"name": "Pump 1"}]}}


class ActuatorKey(BaseModel):
    """Which actuator."""

    model_config = FROZEN

    esp_id: EspId
    gpio: Pin


class PutActuator(ActuatorKey):
    """An actuator to register or to change."""

    settings: ActuatorSettings


class PatchActuator(ActuatorKey):
    """An actuator, and which of its settings to change."""

    patch: ActuatorPatch


class Actuator(ActuatorSettings):
    """An actuator with its state. Times in ms; state and value None until the device has reported, and while its state
    is not known: then `last_state` has what was reported last. on_since: since when it is on, else None. zone_id: of
    its device.

    emergency: `active` from the stop until it is cleared, `normal` otherwise. registered: False for one that a device
    reported and nobody has set up yet; it takes OFF only. known: whether the state is known now; it is not while the
    device is offline, nor before its first report. known_until: until when it was known, None while it is.
    """

    esp_id: str
    gpio: int
    zone_id: str | None = None
    registered: bool = True
    state: bool | None = None
    last_state: bool | None = None
    on_since: int | None = None
    value: float | None = None
    reported_at: int | None = None
    last_error: str | None = None
    emergency: Literal["normal", "active"] = "normal"
    emergency_reason: str | None = None
    emergency_at: int | None = None
    known: bool = True
    known_until: int | None = None


ActuatorsShown = Literal["on", "off", "unknown", "failed", "stopped"]
"""Actuators by their state now; unknown: of an offline device, or not reported yet; failed: with an error in their last
report, which is known now; stopped: under an emergency stop."""


class ActuatorsQuery(BaseModel):
    """Actuators, of one device or of all, of a type, a zone, or in a state; `cursor` from the page before. With a type,
    a zone or a state a page may have fewer items than the limit, or none, and a cursor still."""

    model_config = FROZEN

    esp_id: str | None = None
    actuator_type: str | None = Field(default=None, pattern=ACTUATOR_TYPE)
    zone_id: str | None = Field(default=None, max_length=64, pattern=r"^[^\x00]*$")
    state: ActuatorsShown | None = None
    limit: int = Field(default=100, ge=1, le=1000)
    cursor: str | None = Field(default=None, max_length=200)


class ActuatorsPage(BaseModel):
    """Actuators by device and gpio."""

    model_config = FROZEN

    items: list[Actuator]
    next_cursor: str | None = None


class CommandRequest(BaseModel):
    """A command to an actuator. value 0…1, for PWM. duration_s: the actuator is switched off after this time, 0 for no
    limit. queue: keep the command for a device that is offline, at most expires_s.
    """

    model_config = {
        **_STRICT,
        "json_schema_extra": {"examples": [{"command": "ON", "duration_s": 60, "reason": "watering"}]},
    }

    command: Command
    value: float | None = Field(default=None, ge=0.0, le=1.0)
    duration_s: int = Field(default=0, ge=0, le=604_800)
    reason: str | None = Field(default=None, max_length=200)
    queue: bool = False
    expires_s: int = Field(default=3600, ge=1, le=86_400)

    @model_validator(mode="after")
    def _pwm_has_a_value(self) -> "CommandRequest":
        if self.command == "PWM" and self.value is None:
            raise ValueError("PWM needs a value")
        return self


class SendCommand(ActuatorKey):
    """A command for an actuator; the same idempotency key answers with the first command again."""

    request: CommandRequest
    idempotency_key: str | None = Field(default=None, min_length=1, max_length=200)


class CommandId(BaseModel):
    """Which command."""

    model_config = FROZEN

    command_id: str = Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")


class CommandStatus(BaseModel):
    """A command and how it stands; times in ms, None until reached. state_reason says why it did not succeed, or
    why it may not."""

    model_config = FROZEN

    command_id: str
    esp_id: str
    gpio: int
    command: Command
    value: float | None = None
    duration_s: int = 0
    reason: str | None = None
    issued_by: str
    state: CommandStateName
    state_reason: str | None = None
    queued_at: int
    sent_at: int | None = None
    ended_at: int | None = None
    expires_at: int | None = None
    message: str | None = None


class FailedCommands(BaseModel):
    """The last ended command of each actuator that has one which did not succeed, the newest first. complete: False
    where there are more than fit."""

    model_config = FROZEN

    items: list[CommandStatus]
    complete: bool = True


class HistoryQuery(ActuatorKey):
    """Query for the history of an actuator in [from_ms, to_ms), newest first; the last day by default."""

    from_ms: Milliseconds | None = None
    to_ms: Milliseconds | None = None
    limit: int = Field(default=100, ge=1, le=1000)
    cursor: str | None = Field(default=None, max_length=200)


class HistoryItem(BaseModel):
    """A status, response, alert, command or emergency of an actuator. ts in ms; detail depends on the kind."""

    model_config = FROZEN

    ts: int
    kind: Literal["status", "response", "alert", "command", "emergency"]
    state: bool | None = None
    value: float | None = None
    command: str | None = None
    command_id: str | None = None
    success: bool | None = None
    alert_type: str | None = None
    message: str | None = None
    actor: str | None = None


class HistoryPage(BaseModel):
    """History, newest first."""

    model_config = FROZEN

    items: list[HistoryItem]
    next_cursor: str | None = None


class EmergencyTarget(BaseModel):
    """One actuator, one device (no gpio), or everything (neither)."""

    model_config = _STRICT

    esp_id: str | None = Field(default=None, pattern=ESP_ID)
    gpio: Pin | None = None

    @model_validator(mode="after")
    def _gpio_needs_a_device(self) -> "EmergencyTarget":
        if self.gpio is not None and self.esp_id is None:
            raise ValueError("gpio needs esp_id")
        return self


class EmergencyStop(EmergencyTarget):
    """Stop now."""

    model_config = {
        **_STRICT,
        "json_schema_extra": {"examples": [{"esp_id": "ESP_0A1B2C3D", "reason": "water on the floor"}]},
    }

    reason: str = Field(default=OPERATORS_STOP, min_length=1, max_length=200)


class ClearEmergency(EmergencyTarget):
    """Allow commands again; nothing is switched on by it.

    ids: the emergency_id of each stop that the operator saw; a newer one of the same target makes the request fail.
    Without ids the stop that was in force when the gateway had the request is cleared. all: needed to clear the stop of
    everything, so that a forgotten esp_id does not. unconfirmed: with all, the stops of devices that did not confirm
    their last clear, in place of the stop of everything; with ids those of them that are named.
    """

    model_config = {
        **_STRICT,
        "json_schema_extra": {
            "examples": [{"esp_id": "ESP_0A1B2C3D", "ids": ["2PeA8MqMv4JJa7eXqjoLaO6"], "reason": "floor is dry"}]
        },
    }

    reason: str = Field(default=OPERATORS_CLEAR, min_length=1, max_length=200)
    ids: list[Annotated[str, Field(min_length=1, max_length=128)]] | None = Field(default=None, max_length=1000)
    all: bool = False
    unconfirmed: bool = False

    @model_validator(mode="after")
    def _everything_is_asked_for(self) -> "ClearEmergency":
        if self.esp_id is None and not self.all:
            raise ValueError('name an esp_id; to clear the stop of everything send {"all": true}')
        if self.esp_id is not None and self.all:
            raise ValueError("all cannot be combined with esp_id")
        if self.unconfirmed and not self.all:
            raise ValueError('unconfirmed clears the stops of many devices: send {"all": true} with it')
        return self


class Clearing(BaseModel):
    """A clear that waits for its device: who asked, why, when (ms)."""

    model_config = FROZEN

    by: str
    reason: str
    asked_at: int


class Emergency(BaseModel):
    """An emergency stop in force: who, why, when (ms). esp_id None means all devices, gpio None the whole device.

    number: grows with every stop and clear. clearing: a clear is under way, the stop holds until the device confirms
    it. not_cleared: why the last clear did not end it.
    """

    model_config = FROZEN

    emergency_id: str
    esp_id: str | None = None
    gpio: int | None = None
    reason: str
    raised_by: str
    raised_at: int
    number: int | None = None
    clearing: Clearing | None = None
    not_cleared: str | None = None


class EmergenciesQuery(BaseModel):
    """The stops in force, of everything first, then by time; of one device or one actuator alone if asked for."""

    model_config = FROZEN

    esp_id: str | None = None
    gpio: Pin | None = None
    limit: int = Field(default=1000, ge=1, le=1000)
    cursor: str | None = Field(default=None, max_length=200)


class Emergencies(BaseModel):
    """Emergency stops in force. The answer to a stop or a clear has 100 at most, those of its target among them.

    total: how many are in force in all. unconfirmed: how many of those have a clear that their device did not confirm,
    and no other under way. cancelled: how many open commands the request cancelled.
    """

    model_config = FROZEN

    items: list[Emergency]
    next_cursor: str | None = None
    total: int = 0
    unconfirmed: int = 0
    cancelled: int = 0
