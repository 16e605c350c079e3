"""The rules in force, kept current from their bucket, so that rules keep working while the database is away."""

from collections.abc import Callable

from kaiser_common.bus.connection import Bus
from kaiser_common.bus.mirror import Mirror
from kaiser_common.contract.schemas.api.logic import Rule
from kaiser_common.contract.subjects import LOGIC_RULES_BUCKET
from kaiser_common.runtime.loops import until_done


class RuleCache:
    """Every rule by id, disabled ones too. `listener(rule_id, rule)` is called at each change, None for a removal."""

    def __init__(self, bus: Bus) -> None:
        self.rules: dict[str, Rule] = {}
        self.listener: Callable[[str, Rule | None], None] | None = None
        self._mirror: Mirror[Rule] = Mirror(bus, LOGIC_RULES_BUCKET, decode)
        self._mirror.on_change(self._changed)

    async def keep(self) -> None:
        """Follow the bucket until cancelled."""
        await self._mirror.keep()

    async def ready(self) -> None:
        """Wait until the bucket was read once, with a log line every half minute."""
        await until_done(self._mirror.ready, "rules_not_read_yet")

    def _changed(self, rule_id: str, rule: Rule | None) -> None:
        if rule is None:
            self.rules.pop(rule_id, None)
        else:
            self.rules[rule_id] = rule
        if self.listener is not None:
            self.listener(rule_id, rule)


def decode(body: bytes) -> Rule:
    """A rule as the bucket has it. Fields of a newer version are skipped; ValidationError if it is not a rule."""
    return Rule.model_validate_json(body, extra="ignore")
