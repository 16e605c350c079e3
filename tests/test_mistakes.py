"""Mistakes of a newcomer, and the test that holds the message for each: its name and a part of the text."""

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MISTAKES = [
    (
        "a misspelt setting at make run",
        "KAISER_HTPP_PORT is no setting: did you mean KAISER_HTTP_PORT?",
        "test_a_misspelt_setting_starts_nothing",
    ),
    (
        "a misspelt setting of a single service",
        "KAISER_HTPP_PORT is no setting: did you mean KAISER_HTTP_PORT?",
        "test_each_program_refuses_a_setting_that_none_has_and_takes_those_of_others",
    ),
    (
        "a wrong time zone at make run",
        "is no time zone of the IANA: is it Europe/Berlin?",
        "test_a_value_that_a_service_refuses_is_told_before_a_server_is_started",
    ),
    (
        "a wrong time zone at make up",
        "is no time zone of the IANA: is it Europe/Berlin?",
        "test_a_wrong_time_zone_is_refused_before_anything_is_started",
    ),
    (
        "a misspelt setting at make up",
        "KAISER_SIET is no setting: did you mean KAISER_SITE?",
        "test_a_misspelt_setting_is_refused_before_anything_is_started",
    ),
    ("a misspelt value of the Helm chart", "replica", "test_a_misspelt_or_impossible_value_is_refused"),
    (
        "a misspelt key of a demo file",
        "there is no key devcies: did you mean devices?",
        "test_a_misspelt_key_of_a_file_of_mocks_is_refused_with_the_one_that_was_meant",
    ),
    (
        "a misspelt key of a device in a demo file",
        "sensros: there is no such field: did you mean sensors?",
        "test_charts_move_within_a_minute_and_everything_can_be_taken_away_again",
    ),
    (
        "a misspelt field in REST",
        "espid: there is no such field: did you mean esp_id?",
        "test_an_answer_to_a_wrong_request_says_what_is_wrong_and_where",
    ),
    (
        "a misspelt field of a rule",
        "opertor: there is no such field: did you mean operator?",
        "test_a_misspelt_field_of_a_rule_is_refused_where_it_stands",
    ),
    (
        "broken JSON in REST",
        "the body is not JSON: Expecting value at line 2, column 10",
        "test_an_answer_to_a_wrong_request_says_what_is_wrong_and_where",
    ),
    (
        "no Content-Type",
        "the body was not read as JSON: send the header Con",
        "test_an_answer_to_a_wrong_request_says_what_is_wrong_and_where",
    ),
    (
        "a bad device id",
        "esp_id: must be ESP_, MOCK_, SIM_ or TEST_ and then 1 to 27 capital letters",
        "test_an_owner_says_what_is_wrong",
    ),
    (
        "a change of what somebody else has changed meanwhile",
        "was changed meanwhile: its version is 2, not 1",
        "test_a_zone_is_added_renamed_and_removed_and_the_audit_has_each_change",
    ),
    ("a wrong password", "5410", "test_a_wrong_name_or_password_is_401_as_a_problem"),
    ("no token", "5409", "test_no_token_is_401"),
    ("a role that does not suffice", "5405", "test_a_viewer_may_read_and_not_register"),
    (
        "a command during an emergency stop",
        "(423, 5411)",
        "test_a_stop_of_everything_goes_to_all_by_broadcast_and_a_narrower_one_stays_behind_it",
    ),
    (
        "make up while make run is running",
        "(KAISER_HTTP_PORT, for websocket-gateway) is in use by another program, such as",
        "test_a_port_in_use_is_named_with_its_setting_before_anything_is_built",
    ),
    (
        "make up that fails",
        "its containers are removed, the data stays",
        "test_a_start_that_fails_leaves_no_container_and_says_why",
    ),
    (
        "/docs",
        "there is no GET /docs: /api/docs lists all requests",
        "test_an_answer_to_a_wrong_request_says_what_is_wrong_and_where",
    ),
    (
        "a path that is nearly one",
        "there is no GET /api/v1/devices: did you mean /api/v1/esp/devices?",
        "test_an_answer_to_a_wrong_request_says_what_is_wrong_and_where",
    ),
    ("Swagger's Authorize", "name_and_password", "test_the_api_documents_itself"),
    ("Swagger's Authorize, its form", '"grant_type": "password"', "test_the_form_of_swaggers_authorize_signs_in"),
    (
        "make send for a device that nobody registered",
        "rejected (5001): device TEST_SENT_BY_HAND is not registered and approved; register it: `make send",
        "test_the_command_that_sends_a_reading_signs_in_as_a_device",
    ),
]


@cache
def bodies() -> dict[str, list[str]]:
    """The source of each test function, with its decorators, by its name."""
    found: dict[str, list[str]] = {}
    folders = [ROOT / "tests", *ROOT.glob("*/*/tests")]
    for path in {path for folder in folders for path in folder.rglob("test_*.py")}:
        source = path.read_text()
        for node in ast.parse(source).body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                begins = min(one.lineno for one in (node, *node.decorator_list))
                found.setdefault(node.name, []).append("\n".join(source.splitlines()[begins - 1 : node.end_lineno]))
    return found


@pytest.mark.parametrize(("mistake", "text", "test"), MISTAKES, ids=[row[0] for row in MISTAKES])
def test_what_is_said_of_a_mistake_is_held_by_a_test(mistake: str, text: str, test: str):
    found = bodies().get(test, [])
    assert len(found) == 1, test
    joined = re.sub(r'"\s*\n\s*f?"', "", found[0])  # a text in two lines
    assert text in joined or text in found[0], f"{mistake}: {text}"


def test_signing_in_from_a_shell_says_what_was_wrong():
    [code] = re.findall(r"python3 -c '(.+)'\)$", (ROOT / "docs/index.md").read_text(), re.MULTILINE)

    def run(answer: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", code]
        return subprocess.run(command, input=answer, capture_output=True, text=True, timeout=60, check=False)

    assert run('{"access_token": "t"}').stdout == "t\n"
    refused = run('{"detail": "wrong name or password", "code": 5410}')
    assert (refused.returncode, refused.stderr) == (1, "wrong name or password\n")


def test_the_documentation_says_how_to_start_without_make():
    text = (ROOT / "docs/index.md").read_text()
    assert "\nWithout `make`, install by `python3 -m venv .venv`" in text
    assert "\n| `make run` | `.venv/bin/python -m kaiser_stack run` |\n" in text
