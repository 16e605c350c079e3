"""Emergency stops of a thousand devices, pressed and cleared by two operators at once in an order drawn by chance.

Asserted on the pumps: when all has come to rest, what is in force and what each device did agree; and a stop that was
answered after every clear was asked holds. FAULTS_SEED repeats a run, as far as the machine's timing lets it.
"""

import math
import os
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psycopg
import pytest
from crowd import PUMP, Crowd
from harness import Stack, wait_until

DEVICES = {True: 1000, False: 100}
ROUNDS = {True: int(os.environ.get("FAULTS_STOP_ROUNDS", "50")), False: 2}
STOP, CLEAR = "/api/v1/actuators/emergency_stop", "/api/v1/actuators/clear_emergency"
PRESSES_S = 6.0
"""For how long operators press and clear in a round; a device takes a clear 5 s after its stop."""
REST_S = 180.0
CLEARS_AT_ONCE = 64
"""Each answers when its device has confirmed, 5 s after its stop at the earliest, so a thousand one after the other
take over an hour."""
FREE_S = 900.0
"""A killed actuator leaves a stop of each device and one of each pump: two thousand clears."""
UNDER_WAY_S = 2.0
"""From the moment of asking until the gateway has a request, on a busy machine."""
_WAYS = ("stop", "stop", "stop all", "clear", "clear", "clear", "clear all", "clear all", "boot", "kill")


@dataclass(slots=True)
class Done:
    """An operator's action, with the times of asking and of the answer; `whom` is None for everything."""

    what: str
    whom: str | None
    asked_at: float
    status: int = 0
    ended_at: float = math.inf


@dataclass
class Round:
    """Two operators; what they did so far."""

    stack: Stack
    crowd: Crowd
    few: list[str]
    draw: random.Random
    done: list[Done] = field(default_factory=list)

    def operate(self, until: float, seed: int) -> None:
        draw = random.Random(seed)
        with self.stack.sign_in() as rest, ThreadPoolExecutor(8) as answers:
            while time.monotonic() < until:
                way = draw.choice(_WAYS)
                whom = draw.choice(self.few)
                answers.submit(self._one, rest, way, None if way.endswith("all") else whom)
                time.sleep(draw.choice((0.0, 0.02, 0.1, 0.5)))

    def press_last(self, rest: httpx.Client) -> None:
        """A stop that no clear is asked behind, while earlier clears are under way: this one must hold."""
        wait_until(lambda: self._asked("stop", self.few[0], rest).status == 200, "a stop is answered 200", REST_S)

    def _one(self, rest: httpx.Client, way: str, whom: str | None) -> None:
        if way == "boot":
            assert whom is not None
            self.crowd.boot(whom)
            return
        if way == "kill":
            if self.draw.random() < 0.2:
                self.stack.kill(self.draw.choice(("actuator", "ingest")))
            return
        self._asked(way, whom, rest)

    def _asked(self, way: str, whom: str | None, rest: httpx.Client) -> Done:
        done = Done(way.partition(" ")[0], whom, time.monotonic())
        self.done.append(done)
        target = {"all": True} if way == "clear all" else {"esp_id": whom} if whom else {}
        try:
            done.status = rest.post(STOP if done.what == "stop" else CLEAR, json=target).status_code
        except httpx.HTTPError:
            done.status = -1
        done.ended_at = time.monotonic()
        return done

    def must_be_stopped(self, esp_id: str) -> bool:
        """Whether a stop of the device was answered 200 that no clear was asked behind, or so shortly before that it
        may have been at the gateway after the stop: two requests that are made at once have no order."""
        about = [each for each in self.done if each.whom in (None, esp_id)]
        stops = [each.asked_at for each in about if each.what == "stop" and each.status == 200]
        clears = [min(each.asked_at + UNDER_WAY_S, each.ended_at) for each in about if each.what == "clear"]
        return bool(stops) and max(stops) > max(clears, default=0.0)


def in_force(rest: httpx.Client) -> list[dict]:
    found: list[dict] = []
    cursor: dict[str, str] = {}
    while True:
        page = rest.get("/api/v1/actuators/emergencies", params=cursor).raise_for_status().json()
        found += page["items"]
        if page["next_cursor"] is None:
            return found
        cursor = {"cursor": page["next_cursor"]}


def covered(stops: list[dict], esp_ids: list[str]) -> set[str]:
    """The devices that the stops in force hold."""
    targets = {stop["esp_id"] for stop in stops}
    return set(esp_ids) if None in targets else targets & set(esp_ids)


def at_rest(rest: httpx.Client) -> bool:
    """Whether the service answers and no clear is under way."""
    try:
        return not any(stop["clearing"] for stop in in_force(rest))
    except httpx.HTTPError:
        return False


def agree(rest: httpx.Client, crowd: Crowd, told: str) -> None:
    """Wait until the pumps and what is in force agree: a message may be on its way still."""
    deadline = time.monotonic() + REST_S
    while (apart := disagreeing(in_force(rest), crowd)) and time.monotonic() < deadline:
        time.sleep(0.2)
    if apart:
        stops = {stop["esp_id"]: stop for stop in in_force(rest)}
        esp_id = min(apart)
        raise AssertionError(
            f"{len(apart)} pumps do not agree with {len(stops)} stops, as {esp_id}: in force {stops.get(esp_id)},"
            f" all {stops.get(None)}, stopped {esp_id in crowd.stopped()}, heard {crowd.emergencies(esp_id)[-6:]};"
            f" {told}"
        )


def disagreeing(stops: list[dict], crowd: Crowd) -> set[str]:
    """The devices that are not as the stops in force say. A stop of a device, or of all, locks its pump. One of the
    pump alone sends OFF: the device is locked, or only off if a clear of the device came behind. Such stops come of a
    killed actuator, which takes the answers to stops that it does not remember for presses at the devices."""
    esp_ids, stopped = list(crowd.devices), crowd.stopped()
    locked = covered([stop for stop in stops if stop["gpio"] is None], esp_ids)
    switched_off = covered([stop for stop in stops if stop["gpio"] is not None], esp_ids)
    return (locked - stopped) | (stopped - locked - switched_off) | (switched_off & crowd.running())


def target_of(stop: dict) -> dict:
    if stop["esp_id"] is None:
        return {"all": True}
    return {name: stop[name] for name in ("esp_id", "gpio") if stop[name] is not None}


def free(rest: httpx.Client, crowd: Crowd, log: Path) -> None:
    """Clear everything at once, then stop by stop what is left, and each device that reports that it is stopped for
    nothing, until every device is free."""
    said: list[str] = []

    def clear(stop: dict) -> str:
        answer = rest.post(CLEAR, json=target_of(stop))
        return f"{answer.status_code} {answer.text[:200]}"

    def stopped_for_nothing() -> set[str]:
        return crowd.stopped() - covered(in_force(rest), list(crowd.devices))

    def once() -> bool:
        try:
            rest.post(CLEAR, json={"all": True})
            with ThreadPoolExecutor(CLEARS_AT_ONCE) as at_once:
                said[:] = at_once.map(clear, in_force(rest))
                said[:] += at_once.map(clear, [{"esp_id": each, "gpio": None} for each in stopped_for_nothing()])
            return not in_force(rest) and not crowd.stopped()
        except httpx.HTTPError as error:
            said[:] = [repr(error)]
            return False

    try:
        wait_until(once, "everything is cleared", FREE_S)
    except AssertionError as error:
        stops, esp_ids = in_force(rest), sorted(crowd.stopped())
        heard = {esp_id: crowd.emergencies(esp_id)[-4:] for esp_id in esp_ids[:2]}
        raise AssertionError(
            f"{error}: {len(esp_ids)} devices are stopped, {len(stops)} stops in force, as {stops[:2]};"
            f" heard {heard}; answered last {said[:2]}; logged {logged(log, esp_ids[:2])}"
        ) from None


def logged(log: Path, esp_ids: list[str]) -> list[str]:
    """The last log lines of actuator about these devices."""
    return [line for line in log.read_text(errors="replace").splitlines() if any(each in line for each in esp_ids)][
        -40:
    ]


def register(stack: Stack, esp_ids: list[str]) -> None:
    """Devices with a pump each, by the API."""
    with stack.sign_in() as rest, ThreadPoolExecutor(4) as at_once:

        def one(esp_id: str) -> None:
            assert rest.post("/api/v1/esp/devices", json={"esp_id": esp_id}).status_code == 201
            pump = {"actuator_type": "pump", "name": "Pump"}
            rest.put(f"/api/v1/actuators/{esp_id}/{PUMP}", json=pump).raise_for_status()

        list(at_once.map(one, esp_ids))


def online(stack: Stack, esp_ids: list[str]) -> int:
    with psycopg.connect(stack.addresses["database_url"], connect_timeout=5) as connection:
        found = connection.execute(
            "SELECT count(*) FROM health.devices WHERE online AND esp_id = ANY(%s)", [esp_ids]
        ).fetchone()
    return int(found[0]) if found else 0


@pytest.mark.timeout(5400)
@pytest.mark.parametrize("stack", ["mosquitto"], indirect=True)
def test_a_thousand_pumps_agree_with_what_is_in_force(stack: Stack, full: bool, seed: int):
    esp_ids = [f"ESP_{number:08X}" for number in range(DEVICES[full])]
    draw = random.Random(seed)
    register(stack, esp_ids)
    address = (stack.addresses["mqtt_host"], stack.addresses["mqtt_port"])
    with Crowd(address, esp_ids) as crowd, stack.sign_in() as rest:
        wait_until(lambda: online(stack, esp_ids) == len(esp_ids), "every device is online", REST_S)
        for number in range(ROUNDS[full]):
            one = Round(stack, crowd, draw.sample(esp_ids, 3), draw)
            until = time.monotonic() + PRESSES_S
            operators = [threading.Thread(target=one.operate, args=(until, draw.randrange(1 << 30))) for _ in range(2)]
            for operator in operators:
                operator.start()
            for operator in operators:
                operator.join(120)
            one.press_last(rest)
            wait_until(lambda: at_rest(rest), "no clear is under way", REST_S)
            stops = in_force(rest)
            told = f"seed {seed}, round {number}: {[(each.what, each.whom, each.status) for each in one.done]}"
            owed = {esp_id for esp_id in esp_ids if one.must_be_stopped(esp_id)}
            assert one.few[0] in owed
            assert owed <= covered(stops, esp_ids), f"a stop that was answered is not in force; {told}"
            agree(rest, crowd, told)
            assert not crowd.running() & crowd.stopped()
            presses = [each for each in one.done if each.what == "stop"]
            answered = sum(each.status == 200 for each in presses)
            began = time.monotonic()
            free(rest, crowd, stack.state_dir / "log/actuator.log")
            print(
                f"\nround {number}: {len(presses)} stops ({answered} answered 200),"
                f" {len(one.done) - len(presses)} clears,"
                f" {len(owed)} devices owed a stop, {len(stops)} in force; free after {time.monotonic() - began:.0f} s",
                end="",
                flush=True,
            )
