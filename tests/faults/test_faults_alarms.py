"""Alarms rise and clear while a service of their line is killed: raised = stored = delivered, and none twice a key."""

import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest
from alarm_causes import WITHIN_S, Cause, Limit, Offline, OfRule, Stop
from alarm_verdict import AlarmVerdict, alarm_line, judge_alarms
from alarmed_devices import AlarmedDevices, remove_route, route_to
from harness import Stack, wait_until
from receivers import http_receiver
from trial import IS_FULL, versions

DEVICES = 8 if IS_FULL else 4
KILLS = int(os.environ.get("FAULTS_ALARM_KILLS", "20")) if IS_FULL else 1
CAUSES: dict[str, Callable[[Stack, list[str]], Cause]] = {
    "ingest": Limit,
    "sensor": Limit,
    "alarm": Limit,
    "nats": Limit,
    "postgres": Limit,
    "mosquitto": Limit,
    "websocket-gateway": Limit,
    "logic": OfRule,
    "actuator": Stop,
    "health": Offline,
}
"""By the process that is killed: the alarms that it is on the way of."""
SHORT = {"alarm", "logic", "actuator"}


@pytest.mark.in_short_form(stack={"mosquitto"}, victim=SHORT)
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("victim", list(CAUSES))
def test_alarms_that_rise_and_clear_while_a_service_is_killed_are_each_stored_and_delivered(
    stack: Stack, victim: str, verdicts: Path
):
    if victim not in stack.pids():
        pytest.skip(f"{victim} is no process of this stack")
    stack.settle()
    line = AlarmedDevices(stack, CAUSES[victim], DEVICES, victim)
    raised: set[str] = set()
    started_at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    with http_receiver() as receiver:
        route_to(stack, receiver, line.cause.severity)
        try:
            unexplained = one_after_the_other(line, raised)
            found = judge_alarms(line.evidence(raised, receiver, expected=DEVICES * KILLS, kills=2 * KILLS))
        finally:
            stack.settle()
            remove_route(stack)
            line.cause.close()
    found.broken.extend(unexplained)
    name = f"alarms-kill-{victim}-{stack.environment['KAISER_MQTT_BROKER']}"
    write(verdicts / f"{name}.json", name, started_at, versions(stack), found)
    print(alarm_line(name, 2 * KILLS, found))
    assert not found.broken, f"{name}: " + "; ".join(found.broken)


def one_after_the_other(line: AlarmedDevices, raised: set[str]) -> list[str]:
    """Kill, and note the alarms that were raised, until all is done or something did not come; what that was."""
    try:
        for number in range(KILLS):
            raised |= one_kill(line, races=number % 2 == 0)
    except AssertionError as error:
        return [str(error)]
    return []


def one_kill(line: AlarmedDevices, *, races: bool) -> set[str]:
    """The condition begins and ends at every device, with a kill in the middle of each; the alarms that were raised.

    races: the condition ends once the alarms are stored, while they are being delivered.
    """
    half, cause = DEVICES // 2, line.cause
    cause.begin(line.devices[:half])
    killed = kill(line)
    cause.begin(line.devices[half:])
    wait_until(lambda: runs_again(line, killed), f"{line.victim} runs again", WITHIN_S)
    alarms = line.until_all(cause.begin, "raised", "all are raised")
    if not races:
        line.until_delivered(alarms)
    cause.end(line.devices[:half])
    killed = kill(line)
    cause.end(line.devices[half:])
    wait_until(lambda: runs_again(line, killed), f"{line.victim} runs again", WITHIN_S)
    assert line.until_all(cause.end, "cleared", "all are cleared") == alarms
    line.until_delivered(alarms)
    line.acknowledge(alarms)
    return set(alarms)


def kill(line: AlarmedDevices) -> int:
    """Kill the victim; its process id."""
    killed = int(wait_until(lambda: line.stack.pids().get(line.victim), f"{line.victim} runs", WITHIN_S))
    line.stack.kill(line.victim)
    return killed


def runs_again(line: AlarmedDevices, killed: int) -> bool:
    return line.stack.pids().get(line.victim) not in (None, killed)


def write(path: Path, name: str, started_at: str, ran: dict[str, str], found: AlarmVerdict) -> None:
    """Keep the verdict for `make faults-results`."""
    body = {"name": name, "started_at": started_at, "versions": ran, "kills": 2 * KILLS, "alarms": asdict(found)}
    path.write_text(json.dumps(body, indent=2) + "\n")
