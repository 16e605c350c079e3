"""Everything at once: readings, devices of both generations, commands, stops, alarms and a factory, under each fault.

A process of a stack with the factory's dialect is killed, and then stands still for some seconds. In both rounds the
pump of each device runs and is stopped, alarms rise and clear, and a machine gets a command, all while the process is
away. At the end: every reading is stored or rejected once, every stop held, every alarm was delivered once, and no
command of the machine was written twice.
"""

import asyncio
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import actions
import httpx
import pytest
from actions import SERVERS, SERVICES
from alarm_causes import WITHIN_S, Limit
from alarm_verdict import AlarmVerdict, judge_alarms
from alarmed_devices import AlarmedDevices, route_to
from firmware_a import FirmwareA
from firmware_b import FirmwareB
from freezing import PUMP, set_up
from harness import Stack, wait_until
from kaiser_stack import mosquitto
from machine import Machine, check_commands, pick, until_ended
from receivers import HttpReceiver, http_receiver
from trial import SETTINGS, Trial, trial

FROZEN_S = {True: 8.0, False: 4.0}
"""In the full form longer than a lease lasts."""
FAULTS = ("kill", "freeze")
SHORT = {"ingest", "actuator"}
VICTIMS = sorted({*SERVICES, *SERVERS, "factory", "recorder"})
ALARMED = 4
_HEARD_S = 5.0
_FOR_AN_HOUR = {"command": "ON", "duration_s": 3600}


@dataclass(frozen=True, slots=True)
class Site:
    """A stack with a device of each generation, each with a pump, and a machine; alarms go to the receiver."""

    stack: Stack
    rest: httpx.Client
    devices: list[FirmwareA | FirmwareB]
    machine: Machine
    receiver: HttpReceiver


@pytest.fixture(scope="module", params=["mosquitto", "nats"])
def site(request: pytest.FixtureRequest, server_folder: Path, missing: Callable[..., object]) -> Iterator[Site]:
    if request.param == "mosquitto" and not mosquitto.is_installed():
        missing("mosquitto", "mosquitto is not installed")
    settings = SETTINGS | {"KAISER_MQTT_BROKER": request.param, "KAISER_MQTT_DIALECTS": '["esp", "factory"]'}
    stack = Stack(server_folder / f"mixed-{secrets.token_hex(3)}", **settings)
    with ExitStack() as opened:
        opened.callback(lambda: stack.is_running and stack.stop())
        stack.start()
        rest = opened.enter_context(stack.sign_in())
        address = stack.addresses["mqtt_host"], stack.addresses["mqtt_port"]
        ids = [f"ESP_{secrets.token_hex(4).upper()}" for _ in range(2)]
        devices: list[FirmwareA | FirmwareB] = [
            opened.enter_context(FirmwareA(address, ids[0], interval_s=0.5)),
            opened.enter_context(FirmwareB(address, ids[1], interval_s=0.5)),
        ]
        for device in devices:
            set_up(stack, rest, device)
        machine = Machine(stack)
        opened.callback(machine.end)
        receiver = opened.enter_context(http_receiver())
        route_to(stack, receiver, Limit.severity)
        yield Site(stack, rest, devices, machine, receiver)


class Everything:
    """All that runs beside the readings of a trial, and what was done with it. victim: the process that is killed, or
    frozen; each request is asked until it is answered."""

    def __init__(self, site: Site, victim: str) -> None:
        self._rest = site.rest
        self._devices = site.devices
        self._alarmed = AlarmedDevices(site.stack, Limit, ALARMED, victim)
        self._raised: set[str] = set()
        self.commands: list[str] = []

    def before(self) -> None:
        """Each pump runs, and half of the alarms begin."""
        for device in self._devices:
            wait_until(lambda one=device: self._runs(one), "a pump runs", WITHIN_S)
        self._alarmed.cause.begin(self._alarmed.devices[: ALARMED // 2])

    def during(self, *, commands: bool) -> None:
        """Each device is stopped, the other alarms begin, and the machine gets a command."""
        for device in self._devices:
            wait_until(lambda one=device: self._is_accepted("emergency_stop", one), "a stop is answered", WITHIN_S)
        self._alarmed.cause.begin(self._alarmed.devices[ALARMED // 2 :])
        if commands:
            self.commands.append(str(wait_until(lambda: pick(self._rest), "a command is taken", WITHIN_S)))

    def after(self) -> None:
        """Each stop is obeyed and holds until it is cleared; each alarm is raised, cleared and delivered."""
        cause = self._alarmed.cause
        for device in self._devices:
            wait_until(lambda one=device: not is_on(one), "a stop is obeyed", WITHIN_S)
        alarms = self._alarmed.until_all(cause.begin, "raised", "all alarms are raised")
        for device in self._devices:
            wait_until(lambda one=device: self._is_refused(one), "a stop is in force", WITHIN_S)
            assert not is_on(device), "a pump runs under its stop"
            wait_until(lambda one=device: self._is_accepted("clear_emergency", one), "a stop is cleared", WITHIN_S)
        cause.end(self._alarmed.devices)
        assert self._alarmed.until_all(cause.end, "cleared", "all alarms are cleared") == alarms
        self._alarmed.until_delivered(alarms)
        self._alarmed.acknowledge(alarms)
        self._raised |= set(alarms)

    def verdict(self, receiver: HttpReceiver, *, rounds: int) -> AlarmVerdict:
        """Whether each alarm was stored and delivered once."""
        evidence = self._alarmed.evidence(self._raised, receiver, expected=ALARMED * rounds, kills=rounds)
        return judge_alarms(evidence)

    def _runs(self, device: FirmwareA | FirmwareB) -> bool:
        """Whether its pump is on; if not, it is switched on and has some seconds to obey."""
        if is_on(device):
            return True
        if self._asked(f"{device.board.esp_id}/{PUMP}/command", _FOR_AN_HOUR) != 202:
            return False
        until = time.monotonic() + _HEARD_S
        while not is_on(device) and time.monotonic() < until:
            time.sleep(0.05)
        return is_on(device)

    def _is_refused(self, device: FirmwareA | FirmwareB) -> bool:
        status = self._asked(f"{device.board.esp_id}/{PUMP}/command", _FOR_AN_HOUR)
        assert status != 202, "a command is taken under a stop that was answered"
        return status == 423

    def _is_accepted(self, path: str, device: FirmwareA | FirmwareB) -> bool:
        """Whether a stop is in force, or cleared: by this request, or one before whose answer was lost."""
        status = self._asked(path, {"esp_id": device.board.esp_id})
        return status == 200 or (path == "clear_emergency" and status == 404)

    def _asked(self, path: str, body: dict[str, object]) -> int:
        """The status of the answer; 0 without one."""
        try:
            return self._rest.post(f"/api/v1/actuators/{path}", json=body).status_code
        except httpx.HTTPError:
            return 0


def is_on(device: FirmwareA | FirmwareB) -> bool:
    return device.board.flash.actuators[PUMP].on


async def one_round(run: Trial, everything: Everything, fault: str, victim: str, frozen_s: float) -> None:
    """A process is killed or stands still, while everything goes on."""
    broker = run.stack.environment["KAISER_MQTT_BROKER"]
    # A broker that freezes after it answered a ping still delivers what it was given (docs/guarantees.md).
    commands = (fault, victim) != ("freeze", broker)
    await asyncio.to_thread(everything.before)
    during = asyncio.create_task(asyncio.to_thread(everything.during, commands=commands))
    try:
        if fault == "kill":
            await actions.kill(run, victim)
        else:
            await actions.freeze(run, victim, frozen_s)
        await run.recovered()
    finally:
        await during
    await asyncio.to_thread(everything.after)


@pytest.mark.in_short_form(site={"mosquitto"}, victim=SHORT)
@pytest.mark.parametrize("victim", VICTIMS)
async def test_stops_alarms_commands_and_a_factory_hold_while_a_process_is_killed_and_stands_still(
    site: Site, victim: str, verdicts: Path, seed: int, full: bool
):
    stack = site.stack
    if victim not in stack.pids():
        pytest.skip(f"{victim} is no process of this stack")
    await asyncio.to_thread(stack.settle)
    everything = await asyncio.to_thread(Everything, site, victim)
    async with trial(stack, f"mixed-{victim}", verdicts, seed=seed) as run:
        for fault in FAULTS:
            await one_round(run, everything, fault, victim, FROZEN_S[full])
        ended = await asyncio.to_thread(until_ended, site.rest)
        assert set(everything.commands) <= ended.keys()
        check_commands(site.machine, ended.values(), redelivers=stack.environment["KAISER_MQTT_BROKER"] == "nats")
        found = everything.verdict(site.receiver, rounds=len(FAULTS))
        assert not found.broken, "; ".join(found.broken)
        run.note(f"{found.delivered} alarms and {len(everything.commands)} commands are accounted for")
