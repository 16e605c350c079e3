"""The report that ends the alarms of a rule after the rule is changed, disabled or removed; pure.

No other event ends these alarms. Whether a report is owed follows from the rule and its stored state alone, so a
process that is killed before it has reported leaves the report to the next one.
"""

from collections.abc import Callable
from dataclasses import dataclass

from kaiser_common.contract.schemas.api.logic import Rule

from kaiser_logic.domain.rules import raised_names
from kaiser_logic.domain.state import RuleState


@dataclass(frozen=True, slots=True)
class RuleEnd:
    """names: of the alarms that are over; dropped: of those that the rule has no part in any more, these and the ones
    that another rule has raised too. withdrawn: the rule can neither fire nor fail any more. order: of its last firing.
    """

    rule_id: str
    rule_name: str
    version: int
    order: int
    names: tuple[str, ...]
    dropped: tuple[str, ...]
    withdrawn: bool


def end_of(
    rule_id: str, rule: Rule | None, state: RuleState, stands_by_another: Callable[[str], bool]
) -> RuleEnd | None:
    """The report of a rule; None: nothing to report. rule: as it is now, None once it is removed."""
    in_force = rule is not None and rule.enabled
    still = raised_names(rule) if rule is not None and in_force else set()
    dropped = tuple(sorted(set(state.raises) - still))
    withdrawn = bool(state.name) and not in_force
    if not dropped and not withdrawn:
        return None
    names = tuple(name for name in dropped if not stands_by_another(name))
    return RuleEnd(rule_id, state.name or rule_id, state.version, state.order, names, dropped, withdrawn)


def fired_by(rule: Rule, state: RuleState) -> None:
    """Note in the state what is to be ended once the rule is changed or gone."""
    state.name = rule.name
    state.raises = sorted({*state.raises, *raised_names(rule)})


def reported(end: RuleEnd, state: RuleState) -> None:
    """Note in the state that an end was reported, unless the rule has fired since."""
    if state.order != end.order:
        return
    state.raises = [name for name in state.raises if name not in end.dropped]
    if end.withdrawn:
        state.name = ""
