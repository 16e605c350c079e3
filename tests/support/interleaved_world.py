"""OUTBOX, ingest, broker and devices of the trials of stops whose order of calls a test chooses."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from types import SimpleNamespace
from typing import Any, NamedTuple

from kaiser_actuator.domain.unit import Unit
from kaiser_common.bus.connection import BusUnavailable, Outgoing
from kaiser_common.contract.schemas.api.actuators import Emergency
from kaiser_common.contract.schemas.event import OutboxMessage
from kaiser_common.contract.subjects import INGEST_URGENT
from kaiser_common.contract.times import time_of

DEVICES = ("ESP_A", "ESP_B", "ESP_C")
TRACKED, UNTRACKED = ("ESP_A", "ESP_B"), "ESP_C"
"""The devices with actuators, and one without: it has no stop of its own while everything is cleared."""
PIN = 5
"""The gpio of each actuator."""
REFUSES_MS = 5_000
SUBSCRIBED_AFTER_MS = 2_000
REPEATS_MS = 30_000
ACK_WAIT_MS = int(INGEST_URGENT.ack_wait_s * 1000)


@dataclass(frozen=True)
class Said:
    """A message of a device: that it took a clear, or an alert. pressed: of a person's press at the device."""

    esp_id: str
    at: int
    sequence: int
    is_alert: bool = False
    pressed: bool = False


@dataclass
class Press:
    """A press at a device. asked: the ids that somebody had asked to clear before. taken_at: when its alert was
    processed, None if it never was."""

    said: Said
    asked: frozenset[str]
    taken_at: int | None = None


class Gates:
    """Calls that wait until they are let go on."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.waiting: list[asyncio.Future[None]] = []

    async def wait(self) -> None:
        future = self.loop.create_future()
        self.waiting.append(future)
        await future

    def settle(self) -> None:
        """Run what can run without a call going on."""
        while self.loop._ready:  # type: ignore[attr-defined]  # what asyncio would run next
            self.loop.call_soon(self.loop.stop)
            self.loop.run_forever()

    def open(self, index: int) -> None:
        self.waiting = [each for each in self.waiting if not each.done()]
        if self.waiting:
            self.waiting.pop(index % len(self.waiting)).set_result(None)
            self.settle()


@dataclass
class Row:
    """A stop in the table. cleared: until which place in the stream its alerts are echoes, and when it was cleared."""

    stop: Emergency
    cleared: tuple[int, int] | None = None


class Given(NamedTuple):
    """A command at the moment at which it was given to the OUTBOX, with the stops that the table had then, and those
    that had been taken out of the bucket by then."""

    name: str
    recorded: frozenset[str]
    ended: frozenset[str]


class Pins:
    """units: the actuators with the commands that wait for their devices. locks: of their rows, each held until a
    transaction ends. given: the commands that were given to the OUTBOX. ended: the stops that
    were taken out of the bucket."""

    def __init__(self) -> None:
        self.units = {(each, PIN): Unit(each, PIN, "god") for each in TRACKED}
        self.locks = {key: asyncio.Lock() for key in self.units}
        self.given: list[Given] = []
        self.ended: list[str] = []


class World:
    """OUTBOX, ingest, broker and devices."""

    def __init__(self, gates: Gates) -> None:
        self.gates = gates
        self.now = 1_767_225_600_000
        self.failures: list[bool] = []
        """Of the next batches for the OUTBOX those that get no answer: True for one that is stored all the same."""
        self.ids = 0
        self.times_online = 0
        self.outbox: list[list[dict[str, Any]]] = []
        """The urgent lane; a pack has several messages."""
        self.behind: list[list[dict[str, Any]]] = []
        """The ordinary lane: second copies of stops."""
        self.held_up: list[list[dict[str, Any]]] = []
        """Clears on their way to the OUTBOX that are overtaken by all that comes meanwhile."""
        self.hold_up = False
        self.seen: set[str] = set()
        self.newest_stop: dict[str, int] = {}
        self.written: list[tuple[int, list[dict[str, Any]], dict[str, int]]] = []
        """The last messages that ingest wrote, each with the time and the stops that it knew before."""
        self.redelivered: list[tuple[int, list[dict[str, Any]]]] = []
        """The messages that a killed ingest had not acknowledged, each with the time at which the next one gets it."""
        self.written_again_at: dict[str, int] = {}
        """When a device's stop was last written that a killed ingest had written before."""
        self.on_way: dict[str, list[str]] = {each: [] for each in DEVICES}
        self.lost: set[tuple[str, str]] = set()
        """The device and command of a message that was lost, until the device hears that command: each is sent twice at
        least, and one of the two arrives."""
        self.online = dict.fromkeys(DEVICES, True)
        self.killed_at = 0
        """When a replica was killed last, which repeats no clear any more."""
        self.unsure: set[str] = set()
        """Devices of which one copy of a stop was lost and the other was too late."""
        self.stopped_at: dict[str, int | None] = dict.fromkeys(DEVICES)
        self.last: dict[str, str] = dict.fromkeys(DEVICES, "nothing")
        """The last emergency message on the device's own topic or the broadcast, refused or not."""
        self.answers: list[Said] = []
        self.sequence = 0
        self.table: dict[str, Row] = {}
        """The stops by id, as the database has them."""
        self.told_by_others: list[int] = []
        """When a process sent stops that the one which takes the alerts did not send, or has forgotten."""
        self.unheard: dict[str, list[int]] = {each: [] for each in DEVICES}
        """When a device missed a stop, or its alert was lost: it then alerts less often than it was sent stops."""
        self.pins = Pins()
        self.events: set[str] = set()
        """The ids of the events that were published."""
        self.cleared: list[tuple[str, str]] = []
        """The stops that the table has as cleared, each with the reason that was given."""
        self.deleted: set[str] = set()
        """Devices that are in no registry: ingest rejects what they say."""
        self.doubtful: set[str] = set()
        """Devices whose answer came in after they had heard a newer stop: answers carry nothing that tells them apart,
        so the stop may end while the device is still stopped. And those that a replica told just before it was killed,
        and whose stop had ended already. And one without actuators that was offline when everything was cleared, or to
        which no clear came in time: none is kept for it. They stay stopped, which is the safe side."""
        self.jetstream = SimpleNamespace(purge_stream=self._nothing, stream_info=self._info)

    async def _nothing(self, *_: Any, **__: Any) -> None:
        return None

    async def _info(self, *_: Any) -> SimpleNamespace:
        return SimpleNamespace(state=SimpleNamespace(last_seq=self.sequence))

    def say(self, esp_id: str, *, is_alert: bool, pressed: bool = False) -> Said:
        self.sequence += 1
        self.answers.append(Said(esp_id, self.now, self.sequence, is_alert, pressed))
        return self.answers[-1]

    async def heard_up_to(self, now: datetime) -> datetime:
        """As JetStream says it: until when no message of a device waits."""
        return min([now, *(time_of(said.at) for said in self.answers)])

    def missed(self, *esp_ids: str) -> None:
        for esp_id in esp_ids:
            self.unheard[esp_id].append(self.now)

    def message_id(self) -> str:
        self.ids += 1
        return f"e{self.ids}"

    def occasion(self) -> str:
        """A coming online; the replicas that see it name it alike."""
        self.times_online += 1
        return f"online{self.times_online}"

    async def publish_batch(self, messages: Sequence[Outgoing], **_: Any) -> None:
        self.events |= {each.msg_id for each in messages if each.subject.startswith("event.")}
        messages = [each for each in messages if each.subject.startswith("mqtt.")]
        recorded, ended = frozenset(row.stop.emergency_id for row in self.table.values()), frozenset(self.pins.ended)
        self.pins.given += [
            Given(each.msg_id.removeprefix("command-"), recorded, ended)
            for each in messages
            if each.msg_id.startswith("command-")
        ]
        if messages:
            await self.gates.wait()
        is_stored = self.failures.pop() if messages and self.failures else None
        for message in messages:
            if message.msg_id in self.seen or is_stored is False:
                continue
            self.seen.add(message.msg_id)
            pack = [OutboxMessage.model_validate_json(line).model_dump() for line in message.body.split(b"\n")]
            if not message.subject.startswith("mqtt.urgent"):
                self.behind.append(pack)
            elif self.hold_up and pack[0]["clears"]:
                self.held_up.append(pack)
            else:
                self.outbox.append(pack)
        if is_stored is not None:
            raise BusUnavailable("no acknowledgement")

    def ingest(self, *, behind: bool = False) -> None:
        """Write the next message of a lane, or each of a pack."""
        lane = self.behind if behind else self.outbox
        again = not behind and bool(self.redelivered) and self.redelivered[0][0] <= self.now
        if again:
            pack = self.redelivered.pop(0)[1]
        elif lane:
            pack = lane.pop(0)
        else:
            return
        pack = [message for message in pack if message["topic"].endswith("/emergency")]
        if pack and not behind:
            self.written = [*self.written[-2:], (self.now, pack, dict(self.newest_stop))]
        for message in pack:
            self.write(message, again=again)

    def write(self, message: dict[str, Any], *, again: bool) -> None:
        """Write a message: a clear never behind a newer stop of the device or of all."""
        whom = "all" if message["topic"].startswith("kaiser/broadcast") else message["topic"].split("/")[3]
        if message["expires_at"] <= self.now:
            concerned = DEVICES if whom == "all" else (whom,)
            self.missed(*concerned)
            self.unsure |= {each for each in concerned if (each, "emergency_stop") in self.lost}
            if message["clears"] and whom == UNTRACKED:
                self.doubtful.add(whom)
            return
        number = message["number"]
        if message["clears"]:
            if number < max(self.newest_stop.get(whom, 0), self.newest_stop.get("all", 0)):
                return
        elif number is not None:
            self.newest_stop[whom] = max(self.newest_stop.get(whom, 0), number)
        for esp_id in DEVICES if whom == "all" else (whom,):
            if again:
                self.written_again_at[esp_id] = self.now
            if self.online[esp_id]:
                self.on_way[esp_id].append(json.loads(message["payload"])["command"])
            else:
                self.missed(esp_id)
                if message["clears"] and esp_id == UNTRACKED:
                    self.doubtful.add(esp_id)

    def ingest_is_killed(self, unacknowledged: int) -> None:
        """The next one knows the stops that were stored, and gets the last messages again, but not at once. NATS would
        have delivered older ones again before."""
        again = [each for each in self.written[-unacknowledged:] if each[0] > self.now - ACK_WAIT_MS]
        if again:
            self.newest_stop = again[0][2]
            self.redelivered += [(self.now + ACK_WAIT_MS, pack) for _, pack, _ in again]
        self.written = []

    def lose(self, esp_id: str) -> None:
        """The next message to a device is lost, unless the last one of its kind was: QoS 0, on a bad line."""
        if self.on_way[esp_id] and (esp_id, self.on_way[esp_id][0]) not in self.lost:
            self.lost.add((esp_id, command := self.on_way[esp_id].pop(0)))
            self.missed(esp_id)
            if command == "clear_emergency" and esp_id == UNTRACKED and self.now < self.killed_at + REPEATS_MS:
                self.doubtful.add(esp_id)

    def hear(self, esp_id: str) -> None:
        """The device takes the next message."""
        if not self.on_way[esp_id]:
            return
        command = self.last[esp_id] = self.on_way[esp_id].pop(0)
        self.lost.discard((esp_id, command))
        if command == "emergency_stop":
            self.stopped_at[esp_id] = self.now
            if esp_id in TRACKED:
                self.say(esp_id, is_alert=True)
            return
        stopped_at = self.stopped_at[esp_id]
        if stopped_at is not None and self.now - stopped_at < REFUSES_MS:
            return  # alert verification_failed
        self.stopped_at[esp_id] = None
        self.say(esp_id, is_alert=False)
