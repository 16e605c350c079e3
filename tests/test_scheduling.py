"""Tests of one stack go to one worker, others by their files."""

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
