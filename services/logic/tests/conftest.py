"""Rules and engines for the tests of logic."""

from collections.abc import Callable
from typing import Any

import pytest
from kaiser_common.schemas.api.logic import Rule
from kaiser_logic.engine import Engine
from kaiser_logic.readings import Readings
from kaiser_logic.rules import Limits

DRY = {"type": "sensor", "esp_id": "ESP_A", "gpio": 34, "sensor_type": "soil_moisture", "operator": "<", "value": 30}
PUMP_ON = {"type": "actuator", "esp_id": "ESP_B", "gpio": 25, "command": "ON", "duration_s": 60}


@pytest.fixture
def make_rule() -> Callable[..., Rule]:
    """`make_rule("name", **settings)`: by default, soil moisture below 30 → pump on for 60 s."""

    def make(name: str = "water", **settings: Any) -> Rule:
        given = {"name": name, "conditions": [DRY], "actions": [PUMP_ON], **settings}
        defaults = {"rule_id": name.replace(" ", ""), "created_at": 0, "updated_at": 0}
        return Rule.model_validate({**defaults, **given})

    return make


@pytest.fixture
def make_engine() -> Callable[..., Engine]:
    """`make_engine(*rules)`: started at time 0 without any reading."""

    def make(*rules: Rule, limits: Limits | None = None, start: bool = True, late_ms: int = 60_000) -> Engine:
        engine = Engine(limits or Limits(), Readings(late_ms), 0, 0)
        for rule in rules:
            engine.put_rule(rule, 0)
        if start:
            assert engine.start(0) == []
        return engine

    return make
