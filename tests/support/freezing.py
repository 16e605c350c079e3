"""Freezes a server (SIGSTOP) while commands are being sent, and records which of them moved the device, and when.

Each command has a different duration, so that the device's log distinguishes them.
"""

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from firmware_a import FirmwareA
from firmware_b import FirmwareB
from harness import Stack, wait_until

PUMP = 25
SETTINGS = {"KAISER_COMMANDS_PER_MINUTE": "100000", "KAISER_REQUEST_PER_SECOND": "1000"}
LATE_S = 2.0
"""The time that a busy machine may take from the last look at the clock to the device's log."""

_EVERY_S = 0.25
_ANSWER_S = 60.0


@dataclass(slots=True)
class Freeze:
    """Its result. answers: by number, status (0: the connection broke) and the time (s since 1970) after which
    nothing may happen.
    stop: the answer to an emergency stop that was asked for in the middle, None where none came."""

    answers: dict[int, tuple[int, float]] = field(default_factory=dict)
    stop: httpx.Response | None = None
    stop_heard_at: float = 0.0
    begun_at: float = 0.0
    ended_at: float = 0.0
    heard: dict[int, float] = field(default_factory=dict)

    @property
    def late(self) -> dict[int, tuple[int, float]]:
        """Commands that the device heard after their deadline: status and by how many seconds."""
        return {
            number: (self.answers[number][0], round(at - self.answers[number][1], 1))
            for number, at in self.heard.items()
            if at > self.answers[number][1] + LATE_S
        }

    @property
    def failed(self) -> list[int]:
        """Commands whose caller heard that they failed."""
        return [number for number, (status, _) in self.answers.items() if status != 202]


def set_up(stack: Stack, rest: httpx.Client, device: FirmwareA | FirmwareB) -> None:
    """Approve the device, give it a pump and wait until it takes commands."""
    esp_id = device.board.esp_id
    path = f"/api/v1/esp/devices/{esp_id}"
    wait_until(lambda: rest.get(path).is_success, "it is pending")
    wait_until(lambda: rest.post(f"{path}/approve").is_success, "it is approved")
    wait_until(lambda: rest.put(f"/api/v1/actuators/{esp_id}/{PUMP}", json={"actuator_type": "pump"}).is_success, "put")
    wait_until(lambda: rest.post(f"{path}/config", json={}).is_success, "its configuration is sent")
    wait_until(lambda: PUMP in device.board.flash.actuators, "it is configured")
    command = f"/api/v1/actuators/{esp_id}/{PUMP}/command"
    for word in ("ON", "OFF"):  # ON waits until the device has had the time to subscribe, OFF does not
        wait_until(lambda: rest.post(command, json={"command": word}).is_success, "it is online")  # noqa: B023
        wait_until(lambda: {"command": word}.items() <= _last(device).items(), f"it hears {word}")  # noqa: B023


async def freeze(stack: Stack, device: FirmwareA, victim: str, seconds: float) -> Freeze:
    """Freeze a server for so long while commands are sent; wait until a command that was sent afterwards was heard."""
    found = Freeze()
    with stack.sign_in() as rest:
        base, headers = str(rest.base_url), {"Authorization": rest.headers["Authorization"]}
    async with httpx.AsyncClient(base_url=base, headers=headers, timeout=_ANSWER_S) as client:
        run = _Run(client, device, found)
        async with asyncio.TaskGroup() as tasks:
            sending = tasks.create_task(run.send_for(1.0))
            await sending
            if victim in ("mosquitto", stack.environment["KAISER_MQTT_BROKER"]):
                # What is written to a broker between its last answer and its end cannot be called back.
                await run.until_heard(max(found.answers, default=0))
            with frozen(stack.pid(victim)):
                found.begun_at = time.time()
                await run.send_for(seconds - 1.0, tasks)
                stopping = tasks.create_task(run.stop())
                await asyncio.sleep(1.0)
                found.ended_at = time.time()
            await stopping
        await run.until_stopped()
        await run.clear()
        last = await run.send_until_taken()
        await run.until_heard(last)
    for body, at in _commands(device):
        if body["duration"]:
            found.heard.setdefault(int(body["duration"]), at)
            found.heard[int(body["duration"])] = max(found.heard[int(body["duration"])], at)
    return found


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    """SIGSTOP a process and its children for the body."""
    pids = tree(pid)
    for each in pids:
        os.kill(each, signal.SIGSTOP)
    try:
        yield
    finally:
        for each in pids:
            try:
                os.kill(each, signal.SIGCONT)
            except ProcessLookupError:
                continue  # a child that was ended meanwhile


class _Run:
    def __init__(self, client: httpx.AsyncClient, device: FirmwareA, found: Freeze) -> None:
        self._client = client
        self._device = device
        self._found = found
        self._number = 0
        self._esp_id = device.board.esp_id

    async def send_for(self, seconds: float, tasks: asyncio.TaskGroup | None = None) -> None:
        """Commands at a steady rate. With `tasks` none waits for the answer of the one before."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if tasks is None:
                await self.send()
            else:
                tasks.create_task(self.send())
            await asyncio.sleep(_EVERY_S)

    async def send(self) -> int:
        """One command; what was answered goes to the answers."""
        self._number += 1
        number = self._number
        body = {"command": "ON", "duration_s": number}
        answer = await self._post(f"{self._esp_id}/{PUMP}/command", body)
        taken = answer is not None and answer.status_code == 202
        after = answer.json()["expires_at"] / 1000 if answer is not None and taken else time.time()
        self._found.answers[number] = (0 if answer is None else answer.status_code, after)
        return number

    async def stop(self) -> None:
        """The emergency stop of the device; pressed again where the connection broke."""
        body = {"esp_id": self._esp_id, "reason": "hand in pump"}
        until = time.monotonic() + 120.0
        while (answer := await self._post("emergency_stop", body)) is None:
            assert time.monotonic() < until, "no stop was answered"
            await asyncio.sleep(0.5)
        self._found.stop = answer

    async def _post(self, path: str, body: dict[str, Any]) -> httpx.Response | None:
        """Ask the gateway; None where the connection broke: without NATS for 15 s its process ends and starts again."""
        try:
            return await self._client.post(f"/api/v1/actuators/{path}", json=body)
        except httpx.TransportError:
            return None

    async def until_stopped(self) -> None:
        """Wait until the device has heard the stop."""
        stops = [each for each in await self._until(self._stops, "the device hears the stop") if each]
        self._found.stop_heard_at = float(stops[0])

    def _stops(self) -> list[float]:
        topic = self._device.board.topic("actuator/emergency")
        return [each.at for each in list(self._device.board.heard) if each.topic == topic]

    async def clear(self) -> None:
        """End the stop."""
        until = time.monotonic() + 120.0
        while True:
            answer = await self._post("clear_emergency", {"esp_id": self._esp_id})
            if answer is not None and answer.is_success:
                return
            assert time.monotonic() < until, answer.text if answer is not None else "no answer"
            await asyncio.sleep(0.5)

    async def send_until_taken(self) -> int:
        """Send commands until one is taken; its number.

        Where ingest wrote the stop later than 5 s after it was sent, the device's answer counts as a press at its pump
        (docs/actuator.md), which is cleared on its own.
        """
        until = time.monotonic() + 60.0
        while True:
            number = await self.send()
            status = self._found.answers[number][0]
            if status == 202:
                return number
            if status == 423:
                await self._post("clear_emergency", {"esp_id": self._esp_id, "gpio": PUMP})
            assert time.monotonic() < until, self._found.answers
            await asyncio.sleep(0.5)

    async def until_heard(self, number: int) -> None:
        """Wait until the device has heard this command."""
        await self._until(
            lambda: number in {body["duration"] for body, _ in _commands(self._device)}, f"the device hears {number}"
        )

    async def _until(self, condition: Any, what: str) -> Any:
        return await asyncio.to_thread(wait_until, condition, what, 120.0)


def _last(device: FirmwareA | FirmwareB) -> dict[str, Any]:
    """The body of the last command that the device received."""
    return next((body for body, _ in reversed(_commands(device))), {})


def _commands(device: FirmwareA | FirmwareB) -> list[tuple[dict[str, Any], float]]:
    topic = device.board.topic(f"actuator/{PUMP}/command")
    return [(each.body, each.at) for each in list(device.board.heard) if each.topic == topic]


def tree(pid: int) -> list[int]:
    """The process and its descendants: PostgreSQL is many."""
    found = [pid]
    for parent in found:
        try:
            with open(f"/proc/{parent}/task/{parent}/children") as children:
                found.extend(int(child) for child in children.read().split())
        except FileNotFoundError:
            continue
    return found
