"""Each error code is declared once: the sources use it as its row says, docs/errors.md and OpenAPI are made from it."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from http import HTTPStatus
from pathlib import Path

import pytest
from kaiser_common.bus import rpc
from kaiser_common.contract.errors import ERRORS, Code
from kaiser_deploy.error_docs import page
from kaiser_gateway.http.problems import RESPONSES, with_problems

ROOT = Path(__file__).parents[1]
SOURCES = sorted([*ROOT.glob("services/*/src/**/*.py"), *ROOT.glob("libs/*/src/**/*.py")])
STATUSES = {"LOCKED": 423}
"""Names of statuses in the sources."""
BY_STATUS = {401: Code.NOT_SIGNED_IN, 403: Code.PERMISSION_DENIED, 429: Code.RATE_LIMIT_EXCEEDED}
BY_STATUS[503] = Code.DEPENDENCY_MISSING
"""The gateway's code if a route names the status alone; otherwise PROCESSING_FAILED."""


@cache
def answered() -> list[tuple[str, int, Code]]:
    """Where in the sources a status is answered with a code, where both are written out, in order."""
    return sorted(found())


def found() -> Iterator[tuple[str, int, Code]]:
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name | ast.Attribute):
                continue
            name = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
            where = f"{path.relative_to(ROOT)}:{node.lineno}"
            if name == "HTTPException" and node.args and (status := status_of(node.args[0])):
                yield where, status, BY_STATUS.get(status, Code.PROCESSING_FAILED)
            elif name in ("RpcError", "Refusal", "problem", "need", "__init__"):
                for first, second in zip(node.args, node.args[1:], strict=False):
                    status, code = status_of(first), code_of(second)
                    if status and code:
                        yield where, status, code


def status_of(node: ast.expr) -> int | None:
    if isinstance(node, ast.Name):
        return STATUSES.get(node.id)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, int) else None


def code_of(node: ast.expr) -> Code | None:
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "Code":
        return Code[node.attr]
    found = getattr(rpc, node.id, None) if isinstance(node, ast.Name) else None
    return found if isinstance(found, Code) else None


def test_each_code_has_one_row():
    assert [row.code for row in ERRORS] == list(Code)
    assert len({row.meaning for row in ERRORS}) == len(ERRORS)
    assert all(row.meaning.endswith(".") for row in ERRORS)


def test_every_status_that_the_sources_answer_with_a_code_stands_in_its_row():
    statuses = {row.code: row.statuses for row in ERRORS}
    assert len(answered()) > 90
    unlisted = [(where, status, code.name) for where, status, code in answered() if status not in statuses[code]]
    assert unlisted == []


def test_every_status_of_a_row_is_answered_somewhere():
    used = defaultdict(set)
    used[Code.PROCESSING_FAILED] = {404, 405}  # of the framework
    for _, status, code in answered():
        used[code].add(status)
    for row in ERRORS:
        if row.rejects:
            used[row.code].add(422)  # the replay of a rejected message answers with its code
        assert set(row.statuses) <= used[row.code], row.code.name


def test_the_page_is_what_the_code_says():
    assert (ROOT / "docs/errors.md").read_text() == page(), "run: make error-docs"


@pytest.mark.parametrize("row", ERRORS, ids=lambda row: row.code.name.lower())
def test_openapi_names_a_code_under_each_of_its_statuses(row):
    document = {"paths": {"/": {"get": {"responses": {}}}}, "components": {"schemas": {}}}
    described = with_problems(document)
    answers = described["components"]["responses"]
    for status in row.statuses:
        text = answers.get(f"Problem_{status}", answers["Problem_default"])["description"]
        assert f"- {row.code.value}: {row.meaning}" in text
        assert HTTPStatus(status).phrase
    assert set(described["paths"]["/"]["get"]["responses"]) >= {*RESPONSES, "401", "422", "503"}


def test_no_other_code_says_that_something_does_not_exist():
    of_devices = {Code.ESP_DEVICE_NOT_FOUND, Code.INVALID_GPIO, Code.INVALID_SENSOR_TYPE}
    """A device, machine, order or workpiece; a sensor or actuator of a gpio; a configured sensor."""
    no_such_request = Code.PROCESSING_FAILED
    used = {code for _, status, code in answered() if status == HTTPStatus.NOT_FOUND}
    assert used == of_devices | {no_such_request, Code.NOT_FOUND}
