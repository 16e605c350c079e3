"""Alarms rise and clear while a service of their line is killed: raised = stored = delivered, and none twice a key."""

import json
import os
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import httpx
import psycopg
import pytest
from alarm_causes import WITHIN_S, Cause, Limit, Offline, OfRule, Stop
from alarm_verdict import AlarmEvidence, AlarmVerdict, alarm_line, judge_alarms
from harness import Stack, wait_until
from receivers import HttpReceiver, http_receiver
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
FORGETFUL = frozenset({"mosquitto"})
"""Acknowledges before it writes to its disk, so a killed one may lose a message (docs/guarantees.md): devices say it
again until it is heard, as they do."""
_AGAIN_S = 5.0


class Line:
    """The devices of a test, what they say, and what is stored of their alarms."""

    def __init__(self, stack: Stack, victim: str) -> None:
        self.stack = stack
        self.victim = victim
        self.devices = stack.register(DEVICES)
        self.cause = CAUSES[victim](stack, self.devices)
        self.sources = [self.cause.source(esp_id) for esp_id in self.devices]

    def rows(self, statement: str, *values: object) -> list[tuple[object, ...]]:
        """The rows of the database; none while it is away."""
        try:
            with psycopg.connect(self.stack.addresses["database_url"], connect_timeout=5) as connection:
                return connection.execute(statement, values).fetchall()
        except psycopg.OperationalError:
            return []

    def alarms(self, *states: str) -> list[str]:
        """The ids of the alarms of these devices in one of the states."""
        found = self.rows(
            "SELECT alarm_id FROM alarm.alarms WHERE kind = %s AND source = ANY(%s) AND state = ANY(%s)",
            self.cause.kind,
            self.sources,
            list(states),
        )
        return [str(alarm_id) for (alarm_id,) in found]

    def until_all(self, say: Callable[[list[str]], None], state: str, what: str) -> list[str]:
        """Wait until every device's alarm is in a state; devices of a forgetful broker say it again meanwhile."""
        said_at = time.monotonic()

        def found() -> list[str] | None:
            nonlocal said_at
            if self.victim in FORGETFUL and time.monotonic() - said_at > _AGAIN_S:
                say(self.devices)
                said_at = time.monotonic()
            return alarms if len(alarms := self.alarms(state)) == DEVICES else None

        try:
            return sorted(wait_until(found, what, WITHIN_S))
        except AssertionError as error:
            states = "SELECT source, state, times FROM alarm.alarms WHERE kind = %s AND source = ANY(%s) ORDER BY 1"
            raise AssertionError(f"{error}; {self.rows(states, self.cause.kind, self.sources)}") from error

    def acknowledge(self, alarm_id: str) -> bool:
        """Whether an alarm is acknowledged now, by this request or one whose answer was lost."""
        try:
            with self.stack.sign_in() as rest:
                answer = rest.post(f"/api/v1/alarms/{alarm_id}/acknowledge", json={})
        except httpx.HTTPError:
            return False
        return answer.status_code in (200, 409)


def route_to(stack: Stack, receiver: HttpReceiver, severity: str) -> None:
    """Alarms of a severity go to the receiver."""
    with stack.sign_in() as rest:
        url = "/api/v1/notifications"
        rest.put(f"{url}/channels/faults", json={"name": "faults", "url": receiver.url}).raise_for_status()
        route = {"channels": ["faults"], "severities": [severity]}
        rest.put(f"{url}/routes/faults", json=route).raise_for_status()


def remove_route(stack: Stack) -> None:
    with stack.sign_in() as rest:
        for path in ("routes/faults", "channels/faults"):
            rest.delete(f"/api/v1/notifications/{path}").raise_for_status()


@pytest.mark.in_short_form(stack={"mosquitto"}, victim=SHORT)
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("victim", list(CAUSES))
def test_alarms_that_rise_and_clear_while_a_service_is_killed_are_each_stored_and_delivered(
    stack: Stack, victim: str, verdicts: Path
):
    if victim not in stack.pids():
        pytest.skip(f"{victim} is no process of this stack")
    stack.settle()
    line = Line(stack, victim)
    raised: set[str] = set()
    started_at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    with http_receiver() as receiver:
        route_to(stack, receiver, line.cause.severity)
        try:
            unexplained = one_after_the_other(line, raised)
            found = judge_alarms(evidence(line, raised, receiver))
        finally:
            stack.settle()
            remove_route(stack)
            line.cause.close()
    found.broken.extend(unexplained)
    name = f"alarms-kill-{victim}-{stack.environment['KAISER_MQTT_BROKER']}"
    write(verdicts / f"{name}.json", name, started_at, versions(stack), found)
    print(alarm_line(name, 2 * KILLS, found))
    assert not found.broken, f"{name}: " + "; ".join(found.broken)


def one_after_the_other(line: Line, raised: set[str]) -> list[str]:
    """Kill, and note the alarms that were raised, until all is done or something did not come; what that was."""
    try:
        for number in range(KILLS):
            raised |= one_kill(line, races=number % 2 == 0)
    except AssertionError as error:
        return [str(error)]
    return []


def one_kill(line: Line, *, races: bool) -> set[str]:
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
        wait_until(lambda: delivered(line, alarms) == DEVICES, "all are delivered", WITHIN_S)
    cause.end(line.devices[:half])
    killed = kill(line)
    cause.end(line.devices[half:])
    wait_until(lambda: runs_again(line, killed), f"{line.victim} runs again", WITHIN_S)
    assert line.until_all(cause.end, "cleared", "all are cleared") == alarms
    wait_until(lambda: delivered(line, alarms) == DEVICES, "all are delivered", WITHIN_S)
    for alarm_id in alarms:
        wait_until(lambda one=alarm_id: line.acknowledge(one), f"{alarm_id} is acknowledged", WITHIN_S)
    return set(alarms)


def kill(line: Line) -> int:
    """Kill the victim; its process id."""
    killed = int(wait_until(lambda: line.stack.pids().get(line.victim), f"{line.victim} runs", WITHIN_S))
    line.stack.kill(line.victim)
    return killed


def runs_again(line: Line, killed: int) -> bool:
    return line.stack.pids().get(line.victim) not in (None, killed)


def delivered(line: Line, alarms: list[str]) -> int:
    """Of how many alarms a notification was sent."""
    statement = "SELECT count(DISTINCT alarm_id) FROM alarm.notifications WHERE alarm_id = ANY(%s) AND state = 'sent'"
    rows = line.rows(statement, alarms)
    return int(str(rows[0][0])) if rows else -1


def evidence(line: Line, raised: set[str], receiver: HttpReceiver) -> AlarmEvidence:
    """The contents of the tables and of the receiver that are of these devices."""
    steps: dict[str, list[str]] = {}
    statement = "SELECT alarm_id, what FROM alarm.steps WHERE alarm_id = ANY(%s) ORDER BY number"
    for alarm_id, what in line.rows(statement, list(raised)):
        steps.setdefault(str(alarm_id), []).append(str(what))
    statement = "SELECT key, alarm_id, bundle, state FROM alarm.notifications WHERE alarm_id = ANY(%s)"
    return AlarmEvidence(
        expected=DEVICES * KILLS,
        kills=2 * KILLS,
        raised=raised,
        stored=line.alarms("raised", "acknowledged", "cleared", "closed"),
        steps=steps,
        notifications=[
            (str(key), str(alarm_id), str(bundle), str(state))
            for key, alarm_id, bundle, state in line.rows(statement, list(raised))
        ],
        references=Counter(receiver.references()),
    )


def write(path: Path, name: str, started_at: str, ran: dict[str, str], found: AlarmVerdict) -> None:
    """Keep the verdict for `make faults-results`."""
    body = {"name": name, "started_at": started_at, "versions": ran, "kills": 2 * KILLS, "alarms": asdict(found)}
    path.write_text(json.dumps(body, indent=2) + "\n")
