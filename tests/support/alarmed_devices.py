"""Devices whose alarms rise and clear in a fault trial: what is stored of their alarms, and where these are sent."""

import time
from collections import Counter
from collections.abc import Callable
from functools import partial

import httpx
import psycopg
from alarm_causes import WITHIN_S, Cause
from alarm_verdict import AlarmEvidence
from harness import Stack, wait_until
from receivers import HttpReceiver

FORGETFUL = frozenset({"mosquitto"})
"""Acknowledges before it writes to its disk, so a killed one may lose a message (docs/guarantees.md): devices say it
again until it is heard, as they do."""
_AGAIN_S = 5.0


class AlarmedDevices:
    """The devices of a test and their alarms. victim: the process that is killed, which the test may change."""

    def __init__(self, stack: Stack, cause: Callable[[Stack, list[str]], Cause], count: int, victim: str) -> None:
        self.stack = stack
        self.victim = victim
        self.devices = stack.register(count)
        self.cause = cause(stack, self.devices)
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
            return alarms if len(alarms := self.alarms(state)) == len(self.devices) else None

        try:
            return sorted(wait_until(found, what, WITHIN_S))
        except AssertionError as error:
            states = "SELECT source, state, times FROM alarm.alarms WHERE kind = %s AND source = ANY(%s) ORDER BY 1"
            raise AssertionError(f"{error}; {self.rows(states, self.cause.kind, self.sources)}") from error

    def until_delivered(self, alarms: list[str]) -> None:
        """Wait until a notification was sent of each of these alarms."""
        wait_until(lambda: self._delivered(alarms) == len(alarms), "all are delivered", WITHIN_S)

    def _delivered(self, alarms: list[str]) -> int:
        statement = (
            "SELECT count(DISTINCT alarm_id) FROM alarm.notifications WHERE alarm_id = ANY(%s) AND state = 'sent'"
        )
        rows = self.rows(statement, alarms)
        return int(str(rows[0][0])) if rows else -1

    def acknowledge(self, alarms: list[str]) -> None:
        """Acknowledge these alarms, each until it is."""
        for alarm_id in alarms:
            wait_until(partial(self._is_acknowledged, alarm_id), f"{alarm_id} is acknowledged", WITHIN_S)

    def _is_acknowledged(self, alarm_id: str) -> bool:
        """Whether an alarm is acknowledged now, by this request or one whose answer was lost."""
        try:
            with self.stack.sign_in() as rest:
                answer = rest.post(f"/api/v1/alarms/{alarm_id}/acknowledge", json={})
        except httpx.HTTPError:
            return False
        return answer.status_code in (200, 409)

    def evidence(self, raised: set[str], receiver: HttpReceiver, *, expected: int, kills: int) -> AlarmEvidence:
        """The contents of the tables and of the receiver that are of these devices."""
        steps: dict[str, list[str]] = {}
        statement = "SELECT alarm_id, what FROM alarm.steps WHERE alarm_id = ANY(%s) ORDER BY number"
        for alarm_id, what in self.rows(statement, list(raised)):
            steps.setdefault(str(alarm_id), []).append(str(what))
        statement = "SELECT key, alarm_id, bundle, state FROM alarm.notifications WHERE alarm_id = ANY(%s)"
        return AlarmEvidence(
            expected=expected,
            kills=kills,
            raised=raised,
            stored=self.alarms("raised", "acknowledged", "cleared", "closed"),
            steps=steps,
            notifications=[
                (str(key), str(alarm_id), str(bundle), str(state))
                for key, alarm_id, bundle, state in self.rows(statement, list(raised))
            ],
            references=Counter(receiver.references()),
        )


def route_to(stack: Stack, receiver: HttpReceiver, severity: str) -> None:
    """Alarms of a severity go to the receiver."""
    with stack.sign_in() as rest:
        url = "/api/v1/notifications"
        rest.put(f"{url}/channels/faults", json={"name": "faults", "url": receiver.url}).raise_for_status()
        route = {"channels": ["faults"], "severities": [severity]}
        rest.put(f"{url}/routes/faults", json=route).raise_for_status()


def remove_route(stack: Stack) -> None:
    """Undo `route_to`."""
    with stack.sign_in() as rest:
        for path in ("routes/faults", "channels/faults"):
            rest.delete(f"/api/v1/notifications/{path}").raise_for_status()
