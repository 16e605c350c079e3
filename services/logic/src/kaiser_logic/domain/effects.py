"""The decisions of the rule engine: a rule fires, is kept from firing, or its alarms are over."""

from dataclasses import dataclass
from typing import Any

from kaiser_common.contract.schemas.api.logic import ConditionReport, Rule

from kaiser_logic.domain.rules import Blocked
from kaiser_logic.domain.state import Running


@dataclass(frozen=True, slots=True)
class Firing:
    """A rule that fires. Its state is to be written before anything is done: that is its claim."""

    rule: Rule
    running: Running


@dataclass(frozen=True, slots=True)
class Suppressed:
    """A rule that was kept from firing, to be recorded."""

    rule: Rule
    execution_id: str
    at: int
    why: Blocked
    trigger: dict[str, Any]
    decisions: list[ConditionReport]


@dataclass(frozen=True, slots=True)
class Over:
    """The conditions of a rule are false again: the alarms of these names, which its firing of an order and a time (ms)
    raised, are to be cleared. Call `on_cleared` then."""

    rule: Rule
    names: tuple[str, ...]
    order: int
    fired_at: int


Effect = Firing | Suppressed | Over
