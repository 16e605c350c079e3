"""Every mock in memory, and what each does when its time has come; no I/O, time is an argument.

A reading has the time at which it was due, on a fixed grid, and a value that follows from its step alone. So a
simulator that was killed continues with the values that it would have sent, and two that overlap for a moment send the
same readings.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import count

from kaiser_common.bus.connection import Outgoing
from kaiser_common.contract.schemas.api.mock import MockMessage, MockSensor
from kaiser_common.contract.subjects import outbox_subject
from kaiser_common.contract.topics import parse
from pydantic_core import to_json

from kaiser_simulator import metrics
from kaiser_simulator.domain import lifecycle, payloads
from kaiser_simulator.domain.actuators import Reaction, on_auto_off, on_protection
from kaiser_simulator.domain.device import MockDevice, Publication, is_connected, measures, next_due, sensor_key
from kaiser_simulator.domain.firmware import is_acknowledged, may_say
from kaiser_simulator.domain.readings import Meter, make_meter, with_faults
from kaiser_simulator.domain.schedule import Job, jobs, next_heartbeat, next_statuses
from kaiser_simulator.domain.timetable import Timetable
from kaiser_simulator.patterns import PatternFactory

MESSAGES_KEPT = 50
MOST_DELAYED = 50_000
EXPIRES_MS = 60_000
"""A message that the broker has not accepted after this time is useless."""


@dataclass(slots=True)
class Record:
    """The part of a mock that is kept in memory only."""

    sent: int = 0
    last_heartbeat: int | None = None
    last: dict[str, tuple[int, float]] = field(default_factory=dict)
    """Time and value of each sensor's newest reading."""
    messages: deque[tuple[int, bool, str, str]] = field(default_factory=lambda: deque(maxlen=MESSAGES_KEPT))
    """Time, whether it was sent, topic, payload."""


class World:
    """The mocks. `tick` lets them do what is due; `take` gives what they said since."""

    def __init__(self, factories: Mapping[str, PatternFactory], run_id: str) -> None:
        self._factories = factories
        self._run_id = run_id
        self._numbers = count(1)
        self._devices: dict[str, MockDevice] = {}
        self._meters: dict[str, dict[str, Meter]] = {}
        self._records: dict[str, Record] = {}
        self._timetable: Timetable[Job] = Timetable()
        self._delayed: dict[Job, Publication] = {}
        self._said: list[Outgoing] = []
        self.changed: set[str] = set()
        """Mocks whose state changed on its own and is not saved yet."""
        self.blocked = False
        """Whether MQTT takes nothing at the moment: readings and heartbeats are left out."""

    def __len__(self) -> int:
        return len(self._devices)

    def __contains__(self, esp_id: str) -> bool:
        return esp_id in self._devices

    def __iter__(self) -> Iterator[MockDevice]:
        return iter(self._devices.values())

    def get(self, esp_id: str) -> MockDevice | None:
        """A mock, None if there is none."""
        return self._devices.get(esp_id)

    def record(self, esp_id: str) -> Record:
        """The in-memory record of a mock."""
        return self._records[esp_id]

    def check(self, device: MockDevice) -> None:
        """ValueError where a sensor's pattern cannot be made."""
        for sensor in device.setup.sensors:
            make_meter(self._factories, device, sensor)

    def put(self, device: MockDevice, now_ms: int) -> None:
        """Add a mock, or replace its state; its actions are scheduled again."""
        esp_id = device.esp_id
        before = self._devices.get(esp_id)
        if before is None or before.setup is not device.setup:
            self._make_meters(device)
        self._devices[esp_id] = device
        self._records.setdefault(esp_id, Record())
        due = jobs(device, now_ms)
        if before is not None:
            for job in jobs(before, now_ms).keys() - due.keys():
                self._timetable.remove(job)
        for job, at_ms in due.items():
            self._timetable.set(job, self._kept(device, job, at_ms))

    def remove(self, esp_id: str) -> None:
        """Forget a mock."""
        device = self._devices.pop(esp_id)
        self._meters.pop(esp_id)
        self._records.pop(esp_id)
        self.changed.discard(esp_id)
        for job in jobs(device, 0):
            self._timetable.remove(job)

    def hear(self, esp_id: str, topic: str, payload: str, now_ms: int) -> None:
        """Note a message that a mock was sent."""
        self._records[esp_id].messages.append((now_ms, False, topic, payload))

    def messages(self, esp_id: str, limit: int) -> list[MockMessage]:
        """The last messages that a mock sent and received, newest first."""
        newest = list(self._records[esp_id].messages)[: -limit - 1 : -1]
        return [
            MockMessage(at=at, direction="sent" if sent else "heard", topic=topic, payload=payload)
            for at, sent, topic, payload in newest
        ]

    def measure(self, device: MockDevice, sensor: MockSensor, now_ms: int) -> Publication:
        """A reading of a sensor, out of turn."""
        meter = self._meters[device.esp_id].get(sensor_key(sensor.gpio, sensor.sensor_type))
        if meter is None or meter.sensor is not sensor:
            meter = make_meter(self._factories, device, sensor)
        reading = meter.reading_now(device, now_ms)
        return replace(reading, transient=False)

    def next_due(self) -> int | None:
        """When the next mock has something to do (ms)."""
        return self._timetable.next()

    def tick(self, now_ms: int) -> None:
        """Let every mock do what is due."""
        for job, due_ms in self._timetable.pop_due(now_ms):
            device = self._devices.get(job.esp_id)
            if device is None:
                self._delayed.pop(job, None)
            elif job.kind == "reading":
                self._on_reading(device, job, due_ms, now_ms)
            else:
                self._on_job(device, job, now_ms)

    def say(self, device: MockDevice, publications: Iterable[Publication], now_ms: int, delay_s: float = 0.0) -> None:
        """Send a message of a device, immediately or later; if MOST_DELAYED wait, immediately. Without a connection
        only its will is published."""
        for each in publications:
            if delay_s and len(self._delayed) < MOST_DELAYED:
                job = Job("say", device.esp_id, next(self._numbers))
                self._delayed[job] = each
                self._timetable.set(job, now_ms + round(delay_s * 1000))
            else:
                self._say_now(device, each, f"sim.{self._run_id}.{next(self._numbers)}", now_ms)

    def take(self) -> list[Outgoing]:
        """The messages since the last call."""
        said, self._said = self._said, []
        return said

    def _make_meters(self, device: MockDevice) -> None:
        before = self._meters.get(device.esp_id, {})
        meters: dict[str, Meter] = {}
        for sensor in device.setup.sensors:
            key = sensor_key(sensor.gpio, sensor.sensor_type)
            known = before.get(key)
            meters[key] = known if known and known.sensor == sensor else make_meter(self._factories, device, sensor)
        self._meters[device.esp_id] = meters

    def _kept(self, device: MockDevice, job: Job, at_ms: int) -> int:
        """A reading that is due this moment and was not taken yet stays due, if its grid is still the same."""
        listed = self._timetable.get(job)
        if job.kind != "reading" or listed is None or listed >= at_ms:
            return at_ms
        meter = self._meters[device.esp_id][str(job.of)]
        anchor = device.sensor_life(meter.sensor).anchor_ms
        return listed if listed >= anchor and (listed - anchor) % meter.interval_ms == 0 else at_ms

    def _on_reading(self, device: MockDevice, job: Job, due_ms: int, now_ms: int) -> None:
        meter = self._meters[device.esp_id][str(job.of)]
        life = device.sensor_life(meter.sensor)
        following = next_due(life, meter.sensor.interval_s, now_ms)
        self._timetable.set(job, following)
        missed = (following - due_ms) // meter.interval_ms - 1
        if missed > 0:
            metrics.SKIPPED.labels("late").inc(missed)
        if not measures(device):
            return
        metrics.LATENESS.observe((now_ms - due_ms) / 1000)
        step = life.first_step + (due_ms - life.anchor_ms) // meter.interval_ms
        value = meter.value(life, step, due_ms)
        reading = meter.reading(device, life, value, due_ms)
        self._records[job.esp_id].last[meter.key] = (due_ms, value)
        faults = device.life.faults
        msg_id = f"sim.{job.esp_id}.{meter.key}.{due_ms}"
        for number, each in enumerate(with_faults(meter, device, step, reading)):
            if faults.late_s:
                self.say(device, [each], now_ms, faults.late_s)
            else:
                self._say_now(device, each, f"{msg_id}.{number}" if number else msg_id, now_ms)

    def _on_job(self, device: MockDevice, job: Job, now_ms: int) -> None:
        match job.kind:
            case "heartbeat":
                self._timetable.set(job, next_heartbeat(device, now_ms))
                if is_connected(device):
                    self.say(device, [payloads.heartbeat(device, now_ms)], now_ms)
            case "status":
                self._timetable.set(job, next_statuses(device, now_ms))
                if is_connected(device):
                    said = payloads.statuses(device, now_ms)
                    self.say(device, [replace(each, transient=True) for each in said], now_ms)
            case "isolation":
                self._happened(device, lifecycle.on_isolation(device, now_ms), now_ms)
            case "say":
                self.say(device, [self._delayed.pop(job)], now_ms)
            case "boot":
                self._happened(device, lifecycle.on_boot_step(device, now_ms), now_ms)
            case "link":
                self._happened(device, lifecycle.on_link(device, now_ms), now_ms)
            case "off":
                self._happened(device, on_auto_off(device, int(job.of), now_ms), now_ms)
            case _:
                self._happened(device, on_protection(device, int(job.of), now_ms), now_ms)

    def _happened(self, before: MockDevice, reaction: Reaction, now_ms: int) -> None:
        """The mock changed on its own: the change is in force immediately, and saved soon."""
        if reaction.device is not before:
            self.put(reaction.device, now_ms)
            self.changed.add(before.esp_id)
        self.say(reaction.device, reaction.publications, now_ms)

    def _say_now(self, device: MockDevice, each: Publication, msg_id: str, now_ms: int) -> None:
        if not (is_connected(device) or each.retain):
            return
        place = None if is_acknowledged(device) or not each.payload else parse(each.topic)
        if place is not None and not may_say(device, place.kind):
            metrics.SKIPPED.labels("gate").inc()
            return
        if self.blocked and each.transient:
            metrics.SKIPPED.labels("blocked").inc()
            return
        setup = device.setup
        record = self._records.get(setup.esp_id)
        if record is not None:
            record.sent += 1
            record.messages.append((now_ms, True, each.topic, each.payload))
            if each.topic.endswith("/heartbeat"):
                record.last_heartbeat = now_ms
        body = to_json(
            {
                "topic": each.topic,
                "payload": each.payload,
                "qos": each.qos,
                "retain": each.retain,
                "expires_at": now_ms + EXPIRES_MS,
            }
        )
        self._said.append(Outgoing(outbox_subject(each.topic.split("/")[1], setup.esp_id, "mock"), body, msg_id))
