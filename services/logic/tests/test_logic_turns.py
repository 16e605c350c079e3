"""Changes of rules, one at a time: one that waits too long for the others is refused without asking the database."""

import asyncio

import pytest
from hanging import HangingPool
from kaiser_common.bus.rpc import Caller, RpcError
from kaiser_common.contract.schemas.api.logic import CreateRule, PatchRule, PutRule, RuleId
from kaiser_common.contract.schemas.api.rules import RuleSettings
from kaiser_logic.api.rules import LogicApi

ADA = Caller(user="ada", role="operator")
SETTINGS = RuleSettings.model_validate(
    {
        "name": "warm",
        "conditions": [{"type": "sensor", "esp_id": "ESP_A", "gpio": 4, "operator": ">", "value": 30}],
        "actions": [{"type": "notification", "message": "warm"}],
    }
)


async def test_a_change_that_waits_too_long_for_others_is_refused_without_asking_the_database():
    pool = HangingPool()
    api = LogicApi(pool, None, lambda request: None, None, lambda: 0, 10, waits_s=0.0)  # type: ignore[arg-type]
    hanging = asyncio.create_task(api.delete(RuleId(rule_id="r1"), ADA))
    try:
        async with asyncio.timeout(60):
            await pool.asked.wait()
            for change in (
                api.create(CreateRule(settings=SETTINGS), ADA),
                api.put(PutRule(rule_id="r1", settings=SETTINGS), ADA),
                api.patch(PatchRule(rule_id="r1", patch={"enabled": False}), ADA),
                api.delete(RuleId(rule_id="r1"), ADA),
            ):
                with pytest.raises(RpcError, match="other rules are being changed") as refused:
                    await change
                assert (refused.value.problem.status, refused.value.problem.code) == (503, 5402)
    finally:
        hanging.cancel()
        await asyncio.wait([hanging], timeout=60)
    assert pool.times == 1
