"""Automation rules in the API: the rules, their dry run, and their executions."""

from typing import Any, Literal

from pydantic import BaseModel, Field

from kaiser_common.contract.bounds import Instant, Pin
from kaiser_common.contract.schemas import FROZEN
from kaiser_common.contract.schemas.api.actuators import CommandStateName
from kaiser_common.contract.schemas.api.devices import EspId
from kaiser_common.contract.schemas.api.rules import EXAMPLE, Number, RulePatch, RuleSettings
from kaiser_common.contract.schemas.api.sensors import SENSOR_TYPE, STRICT, Address
from kaiser_common.contract.schemas.api.times import Milliseconds
from kaiser_common.contract.schemas.sensor import Quality

RULE_ID = r"^[a-z0-9]{1,32}$"
Outcome = Literal["running", "succeeded", "failed", "suppressed", "interrupted"]
"""Of an execution. suppressed: the rule was kept from firing; interrupted: the rule was changed or the service was
away for too long in the middle of it."""


class Rule(RuleSettings):
    """A rule. version grows with each change. Times in ms; last_*: of its newest execution, suppressed ones aside."""

    model_config = FROZEN

    rule_id: str
    version: int = 1
    created_at: int
    updated_at: int
    last_executed_at: int | None = None
    last_outcome: Outcome | None = None


class RuleId(BaseModel):
    """Which rule."""

    model_config = FROZEN

    rule_id: str = Field(pattern=RULE_ID)


class CreateRule(BaseModel):
    """A rule to add."""

    model_config = FROZEN

    settings: RuleSettings


class PutRule(RuleId):
    """A rule to change, as a whole. expected: the version that is to be replaced; None: any."""

    settings: RuleSettings
    expected: int | None = None


class PatchRule(RuleId):
    """A rule, and which of its settings to change. expected: the version that is to be changed; None: any."""

    patch: RulePatch
    expected: int | None = None


class RulesQuery(BaseModel):
    """Rules by name: those that are enabled or not, that name a device; `cursor` from the page before."""

    model_config = FROZEN

    enabled: bool | None = None
    esp_id: str | None = Field(default=None, max_length=64)
    limit: int = Field(default=100, ge=1, le=1000)
    cursor: str | None = Field(default=None, max_length=300)


class RulesPage(BaseModel):
    """Rules by name."""

    model_config = FROZEN

    items: list[Rule]
    next_cursor: str | None = None


class TestValue(BaseModel):
    """A reading to suppose."""

    model_config = STRICT
    __test__ = False

    esp_id: EspId
    gpio: Pin
    sensor_type: str | None = Field(default=None, pattern=SENSOR_TYPE)
    address: Address | None = None
    value: Number
    quality: Quality = "good"


class TestRequest(BaseModel):
    """A dry run with these values, and the current ones of all other sensors.

    at: at what time (ms), now by default. held_s: as if the given values had held for this time.
    """

    model_config = {
        **STRICT,
        "json_schema_extra": {
            "examples": [{"values": [{"esp_id": "ESP_0A1B2C3D", "gpio": 4, "sensor_type": "ds18b20", "value": 31.5}]}]
        },
    }
    __test__ = False

    values: list[TestValue] = Field(default=[], max_length=50)
    at: Milliseconds | None = None
    held_s: float = Field(default=0.0, ge=0, le=604_800)


class TestRule(RuleId):
    """A dry run and the rule it is for."""

    __test__ = False

    request: TestRequest = TestRequest()


class TestSettings(BaseModel):
    """A dry run of a rule that is not stored: its settings, and the values to suppose."""

    model_config = {**STRICT, "json_schema_extra": {"examples": [{"settings": EXAMPLE}]}}
    __test__ = False

    settings: RuleSettings
    request: TestRequest = TestRequest()


class ConditionReport(BaseModel):
    """How a condition stands; None is not known (no usable reading). path: its place, such as `1.0`. known_until: when
    its value stopped being known because the device went offline (ms); None for any other reason, and while it is
    known."""

    model_config = FROZEN

    path: str
    type: str
    result: bool | None
    detail: str
    known_until: int | None = None


class TestResult(BaseModel):
    """The result of a dry run, with reasons. Nothing was sent. rule_id: empty for a rule that is not stored."""

    model_config = FROZEN
    __test__ = False

    rule_id: str
    at: int
    result: bool | None
    would_fire: bool
    reason: str
    conditions: list[ConditionReport]
    actions: list[str]


class ActionResult(BaseModel):
    """How an action ended. path: its place, such as `2` or `2.1` within a sequence. Commands carry their end state."""

    model_config = FROZEN

    path: str
    type: str
    state: Literal["done", "failed", "skipped"]
    detail: str | None = None
    esp_id: str | None = None
    gpio: int | None = None
    command: str | None = None
    command_id: str | None = None
    command_state: CommandStateName | None = None


class Execution(BaseModel):
    """A time that a rule fired, or was kept from it (suppressed). Times in ms; trigger: the reading or why else."""

    model_config = FROZEN

    execution_id: str
    rule_id: str
    rule_name: str
    outcome: Outcome
    reason: str | None = None
    trigger: dict[str, Any] = {}
    decisions: list[ConditionReport] = []
    actions: list[ActionResult] = []
    started_at: Instant
    ended_at: Instant | None = None
    duration_ms: int | None = None


class ExecutionsQuery(BaseModel):
    """Executions in [from_ms, to_ms), newest first, of a rule or of all."""

    model_config = FROZEN

    rule_id: str | None = Field(default=None, pattern=RULE_ID)
    outcome: Outcome | None = None
    from_ms: Milliseconds | None = None
    to_ms: Milliseconds | None = None
    limit: int = Field(default=100, ge=1, le=1000)
    cursor: str | None = Field(default=None, max_length=200)


class ExecutionsPage(BaseModel):
    """Executions, newest first."""

    model_config = FROZEN

    items: list[Execution]
    next_cursor: str | None = None
