"""Cursors of rules and executions: one that no page gave out is refused before the database is asked."""

import base64
import json

import pytest
from kaiser_common.bus.rpc import Caller, RpcError
from kaiser_common.contract.schemas.api.logic import ExecutionsQuery, RulesQuery
from kaiser_common.runtime.cursors import to_cursor
from kaiser_logic.api.rules import LogicApi

CALLER = Caller(user="ada", role="viewer")


@pytest.fixture
def api():
    return LogicApi(None, None, lambda request: None, None, lambda: 0, 10)  # type: ignore[arg-type]


def encoded(*key) -> str:
    return base64.urlsafe_b64encode(json.dumps(key).encode()).decode()


@pytest.mark.parametrize("cursor", ["x", encoded("a"), encoded("a\0", "b"), encoded(1, "b"), encoded("a", "b", "c")])
async def test_an_odd_cursor_of_rules_is_refused(api, cursor):
    with pytest.raises(RpcError) as refused:
        await api.page(RulesQuery(cursor=cursor), CALLER)
    assert (refused.value.problem.status, refused.value.problem.field) == (422, "cursor")


@pytest.mark.parametrize(
    "cursor",
    [
        "x",
        to_cursor("a", "b"),
        to_cursor(1, "b\0"),
        to_cursor(-1, "b"),
        to_cursor(10**18, "b"),
        to_cursor(1e300, "b"),
        encoded(float("nan"), "b"),
        encoded(True, "b"),
    ],
)
async def test_an_odd_cursor_of_executions_is_refused(api, cursor):
    with pytest.raises(RpcError) as refused:
        await api.executions(ExecutionsQuery(cursor=cursor), CALLER)
    assert (refused.value.problem.status, refused.value.problem.field) == (422, "cursor")
