"""Each case of tests/cases/field-cases.json, taken from public bug reports, on one running stack.

Cases whose steps disturb nobody run beside one another; those that restart or freeze a process run behind them, one
after the other. Each test waits for its own case.
"""

import json
import secrets
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from pathlib import Path

import pytest
from cases_runner import Case, Observer
from harness import Stack

CASES = [
    case
    for case in json.loads((Path(__file__).parents[1] / "cases" / "field-cases.json").read_text())
    if case["kind"] != "operations"
]
DISTURBING = [case for case in CASES if any("restart" in step or "freeze" in step for step in case["steps"])]
PEACEFUL = [case for case in CASES if case not in DISTURBING]
_WITHIN_S = 230.0
OPEN: dict[str, str] = {}
"""Cases that do not hold yet, with the reason: each is expected to fail, and has to leave this list once it holds."""


@pytest.fixture(scope="module")
def results(server_folder: Path) -> Iterator[dict[str, "Future[list[str]]"]]:
    """The failures, by the name of each case."""
    # `wait_s` of a case that waits for rollups is for those of each minute
    stack = Stack(server_folder / f"stack-{secrets.token_hex(3)}", KAISER_SENSOR_ROLLUP_EVERY_S="5")
    with ExitStack() as opened:
        opened.callback(stack.stop)
        stack.start()
        rest = opened.enter_context(stack.sign_in())
        observer = opened.enter_context(Observer(stack, rest).watching())
        pool = opened.enter_context(ThreadPoolExecutor(len(CASES)))
        found = {case["name"]: pool.submit(Case(stack, observer, rest, case).run) for case in PEACEFUL}
        before = list(found.values())
        for case in DISTURBING:
            after = list(before)
            found[case["name"]] = pool.submit(_behind, after, Case(stack, observer, rest, case))
            before = [*after, found[case["name"]]]
        yield found


def _behind(before: list["Future[list[str]]"], case: Case) -> list[str]:
    """Run a case once nothing else runs."""
    wait(before)
    return case.run()


def _parameter(name: str) -> object:
    marks = [pytest.mark.xfail(reason=OPEN[name], strict=True)] if name in OPEN else []
    return pytest.param(name, marks=marks)


@pytest.mark.parametrize("name", [_parameter(case["name"]) for case in (*PEACEFUL, *DISTURBING)])
def test_a_field_case_holds(results: dict[str, "Future[list[str]]"], name: str):
    assert results[name].result(_WITHIN_S) == []
