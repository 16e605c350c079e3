"""Tests of one stack go to one worker, others by their files; CI runs what `make test` leaves out."""

import re
from pathlib import Path

import pytest
from scheduling import line_of


@pytest.mark.parametrize(
    ("nodeid", "line"),
    [
        ("tests/integration/test_system_health.py::test_x[mosquitto]", "the stack with mosquitto, a to l"),
        ("tests/integration/test_system_stops.py::test_x[mosquitto-1]", "the stack with mosquitto, m to z"),
        ("tests/integration/test_system_stops.py::test_x[nats]", "the stack with nats"),
        ("tests/integration/test_system_secrets.py::test_x[nats]", "tests/integration/test_system_secrets.py"),
        ("tests/integration/test_system_console.py::test_x", "the stack of the console, a to k"),
        ("tests/integration/test_system_console_pages.py::test_x", "the stack of the console, l to z"),
        (
            "tests/integration/test_system_console_site.py::test_x",
            "tests/integration/test_system_console_site.py",
        ),
        (
            "tests/integration/test_system_console_factory.py::test_x",
            "tests/integration/test_system_console_factory.py",
        ),
        ("tests/faults/test_faults_kill.py::test_x[mosquitto-sensor]", "the trials with mosquitto"),
        ("services/ingest/tests/test_ingest_line.py::test_x[nats]", "services/ingest/tests/test_ingest_line.py"),
    ],
)
def test_a_test_is_of_the_line_of_its_stack_or_else_of_its_file(nodeid: str, line: str):
    assert line_of(nodeid) == line


def test_ci_runs_by_other_commands_what_make_test_leaves_out_except_speeds():
    root = Path(__file__).parents[1]
    chosen = dict(
        re.findall(r'^([\w-]+): install ##.*\n(?:.*\\\n)*.* -m "([^"]*)"', (root / "Makefile").read_text(), re.M)
    )
    assert set(re.findall(r"not (\w+)", chosen["test"])) == {"faults", "speed", "browser"}
    assert chosen["test-browser"] == "browser and not speed"
    commands = re.findall(r"\bfirst_run (make \S+)", (root / ".ci/run").read_text())
    assert sorted(commands) == ["make faults", "make test", "make test-browser"]
