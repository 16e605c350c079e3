"""The stacks that the trials torment, and where their verdicts go."""

import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alarm_verdict import AlarmVerdict, alarm_line
from factory_verdict import FactoryVerdict, factory_line
from harness import ROOT, Stack
from kaiser_stack import mosquitto
from oracle import Judgement
from trial import IS_FULL, SETTINGS, Report, line

VERDICTS = ROOT / ".faults"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    trials = [item for item in items if _is_trial(item)]
    for item in trials:
        item.add_marker(pytest.mark.faults)
        item.add_marker(pytest.mark.timeout(1200))
    if not IS_FULL:
        config.hook.pytest_deselected(items=[item for item in trials if not _is_short(item)])
        items[:] = [item for item in items if not _is_trial(item) or _is_short(item)]


def _is_trial(item: pytest.Item) -> bool:
    return item.nodeid.startswith("tests/faults/")


def _is_short(item: pytest.Item) -> bool:
    """Whether the short form has it: it names none of its parameters, or one of its namings holds."""
    if item.get_closest_marker("long_form"):
        return False
    parameters = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
    wanted = [mark.kwargs for mark in item.iter_markers("in_short_form")]
    return not wanted or any(all(parameters[name] in among for name, among in one.items()) for one in wanted)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """The line of each trial, which its worker had nowhere to print to."""
    if config.getoption("dist", "no") == "no":
        return
    for path in sorted(VERDICTS.glob("*.json"), key=lambda path: path.stat().st_mtime):
        if path.stat().st_mtime > terminalreporter._session_start.time:
            terminalreporter.write_line(_line_of(json.loads(path.read_text())))


def _line_of(found: dict[str, Any]) -> str:
    if "alarms" in found:
        return alarm_line(found["name"], found["kills"], AlarmVerdict(**found["alarms"]))
    if "factory" in found:
        return factory_line(found["name"], found["faults"], FactoryVerdict(**found["factory"]))
    return line(Report(**found), Judgement(**found["judgement"]))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    report = yield
    if report.failed:
        for name, value in getattr(item, "funcargs", {}).items():
            if isinstance(value, Stack):
                report.sections.append((f"logs of {name}", value.logs()))
    return report


@pytest.fixture(scope="session")
def full() -> bool:
    """Whether the long form is asked for: FAULTS=full."""
    return IS_FULL


@pytest.fixture(scope="session")
def seed() -> int:
    """Of everything that is drawn by chance: FAULTS_SEED, else a new one."""
    return int(os.environ.get("FAULTS_SEED", "0")) or secrets.randbelow(1_000_000) + 1


@pytest.fixture(scope="session")
def verdicts() -> Path:
    """Folder of the verdict files."""
    VERDICTS.mkdir(exist_ok=True)
    return VERDICTS


def _stack(folder: Path, broker: str) -> Iterator[Stack]:
    stack = Stack(folder / f"faults-{secrets.token_hex(3)}", KAISER_MQTT_BROKER=broker, **SETTINGS)
    try:
        yield stack.start()
    finally:
        if stack.process and stack.process.poll() is None:
            try:
                stack.stop()
            finally:
                stack.process.kill()
                stack.process.wait(60)


@pytest.fixture(scope="session", params=["mosquitto", "nats"])
def stack(request: pytest.FixtureRequest, server_folder: Path) -> Iterator[Stack]:
    """A stack that many trials share, with each MQTT broker in turn."""
    if request.param == "mosquitto" and not mosquitto.is_installed():
        request.getfixturevalue("missing")("mosquitto", "mosquitto is not installed")
    yield from _stack(server_folder, request.param)
