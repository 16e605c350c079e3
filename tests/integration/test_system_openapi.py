"""Requests made from the OpenAPI document, good and bad ones: the running stack fails on none of them."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from harness import Stack

FUZZER = Path(sys.executable).parent / "st"
LEFT_OUT = (
    "/api/v1/system/mqtt/profile",  # answers 502 when the other broker is not there, as it should
    "/api/v1/factory/environment",  # so does this
    "/api/v1/actuators/clear_emergency",  # answers 504 when the device does not confirm, as it should
    "/api/v1/debug/mock-esp/many",  # would make hundreds of devices that go on speaking
)
LONG = bool(os.environ.get("KAISER_TEST_LONG"))
EXTENT = (
    ("--phases", "examples,coverage,fuzzing", "--max-examples", "15", "--max-time", "120")
    if LONG
    else ("--phases", "examples,fuzzing", "--max-examples", "3")
)
"""Every operation is asked. The long form adds values at the bounds of parameters, as many as two minutes allow."""
WITHIN_S = 900.0
CONFIG = """
[checks.not_a_server_error]
expected-statuses = ["2xx", "3xx", "4xx", 503, 504]
"""
"""503 and 504 are documented answers: on a busy machine a database or device does not answer in time."""


@pytest.mark.timeout(WITHIN_S + 240)
def test_no_request_makes_the_server_fail(make_stack, missing, tmp_path: Path):
    if not FUZZER.exists():
        missing("schemathesis", "schemathesis is not installed")
    dialects = '["esp", "factory"]'  # so that the routes of the factory have their service
    stack: Stack = make_stack(KAISER_REQUEST_PER_SECOND="100000", KAISER_MQTT_DIALECTS=dialects).start()
    with stack.sign_in() as rest:
        token = rest.headers["Authorization"]
        document = tmp_path / "openapi.json"
        document.write_text(rest.get("/api/openapi.json").raise_for_status().text)
    left_out = [part for path in LEFT_OUT for part in ("--exclude-path", path)]
    report = tmp_path / "report"
    config = tmp_path / "schemathesis.toml"
    config.write_text(CONFIG)
    done = subprocess.run(
        [
            *(
                FUZZER,
                "--config-file",
                str(config),
                "run",
                str(document),
                "--url",
                stack.addresses["http_url"],
                "-H",
                f"Authorization:{token}",
            ),
            *EXTENT,
            *("--checks", "not_a_server_error,response_schema_conformance,content_type_conformance"),
            *("--seed", "20260101", "--request-timeout", "30", "--suppress-health-check", "all", "--no-color"),
            *("--warnings", "off", "--continue-on-failure", "--report-dir", str(report), *left_out),
        ],
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
        cwd=tmp_path,
    )
    print(done.stdout[-3000:])
    assert done.returncode == 0, f"{done.stdout[-6000:]}\n{done.stderr[-2000:]}\n{stack.logs()}"
    [selected] = re.findall(r"Selected: (\d+)/", done.stdout)
    [tested] = re.findall(r"Tested: (\d+)", done.stdout)
    assert LONG or int(tested) == int(selected) > 100
