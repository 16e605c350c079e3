"""Alarms rise and clear while a service of their line is killed: raised = stored = delivered, and none twice a key."""

import os
import time
from collections import Counter
from collections.abc import Callable

import httpx
import psycopg
import pytest
from alarm_causes import WITHIN_S, Cause, Limit, Offline, OfRule, Stop
from harness import Stack, wait_until
from receivers import HttpReceiver, http_receiver
from trial import IS_FULL

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
def test_alarms_that_rise_and_clear_while_a_service_is_killed_are_each_stored_and_delivered(stack: Stack, victim: str):
    if victim not in stack.pids():
        pytest.skip(f"{victim} is no process of this stack")
    stack.settle()
    line = Line(stack, victim)
    raised: set[str] = set()
    with http_receiver() as receiver:
        route_to(stack, receiver, line.cause.severity)
        try:
            for _ in range(KILLS):
                raised |= one_kill(line)
            check(line, raised, receiver)
        finally:
            stack.settle()
            remove_route(stack)
            line.cause.close()


def one_kill(line: Line) -> set[str]:
    """The condition begins and ends at every device, with a kill in the middle of each; the alarms that were raised."""
    half, cause = DEVICES // 2, line.cause
    cause.begin(line.devices[:half])
    killed = kill(line)
    cause.begin(line.devices[half:])
    wait_until(lambda: runs_again(line, killed), f"{line.victim} runs again", WITHIN_S)
    alarms = line.until_all(cause.begin, "raised", "all are raised")
    wait_until(lambda: delivered(line, alarms) == DEVICES, "all are delivered", WITHIN_S)
    cause.end(line.devices[:half])
    killed = kill(line)
    cause.end(line.devices[half:])
    wait_until(lambda: runs_again(line, killed), f"{line.victim} runs again", WITHIN_S)
    assert line.until_all(cause.end, "cleared", "all are cleared") == alarms
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


def check(line: Line, raised: set[str], receiver: HttpReceiver) -> None:
    """Raised = stored = delivered; a message that was sent again has the reference of the first, one a kill at most."""
    assert len(raised) == DEVICES * KILLS
    assert set(line.alarms("raised", "acknowledged", "cleared", "closed")) == raised
    steps = line.rows("SELECT alarm_id, what FROM alarm.steps WHERE alarm_id = ANY(%s) ORDER BY number", list(raised))
    by_alarm: dict[object, list[object]] = {}
    for alarm_id, what in steps:
        by_alarm.setdefault(alarm_id, []).append(what)
    assert {key: one for key, one in by_alarm.items() if one != ["raised", "cleared", "acknowledged"]} == {}
    assert by_alarm.keys() == raised
    statement = "SELECT key, alarm_id, bundle, state FROM alarm.notifications WHERE alarm_id = ANY(%s)"
    notifications = line.rows(statement, list(raised))
    assert {state for _, _, _, state in notifications} == {"sent"}
    assert len({key for key, _, _, _ in notifications}) == len(notifications) == len(raised)
    references = Counter(receiver.references())
    bundles = {bundle for _, _, bundle, _ in notifications}
    assert bundles <= references.keys()
    assert sum(references[str(bundle)] - 1 for bundle in bundles) <= 2 * KILLS
