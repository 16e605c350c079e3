"""Rules and engines, and the service in its world, for the tests of logic."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from kaiser_common.contract.schemas.api.logic import Rule
from kaiser_common.runtime.settings import CommonSettings
from kaiser_logic.domain.engine import Engine
from kaiser_logic.domain.readings import Readings
from kaiser_logic.domain.rules import Limits
from logic_world import DRY, PUMP, World, open_world


@pytest.fixture
def make_rule() -> Callable[..., Rule]:
    """`make_rule("name", **settings)`: by default, soil moisture below 30 → pump on for 60 s."""

    def make(name: str = "water", **settings: Any) -> Rule:
        given = {"name": name, "conditions": [DRY], "actions": [PUMP], **settings}
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


@pytest.fixture
async def world(bus_settings: CommonSettings, database: str, tmp_path: Path) -> AsyncIterator[World]:
    """No rule, no process yet, an empty bus."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("TRUNCATE logic.rules, logic.executions")
    async with open_world(bus_settings.nats_address, database, tmp_path) as world:
        yield world
