"""Plays one replay, from its last place to its end.

The player works in bounded steps: it enters the environment with a new epoch, reads the snapshot, sends it, sends the
messages that are due, waits until the broker has them all, and compares the factory's final state with the expected
one. After each step its place in the recording is committed. Killed: the next process continues from the last place,
paused or running as before.

The place is also put on the OUTBOX together with the messages of the step, all or nothing, so no message is sent twice,
however long the process was away (within the day for which the OUTBOX keeps the place). At most 500 messages are on the
OUTBOX, so the player waits while the broker is away. Database away: it waits too, at its current place.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import structlog
from kaiser_common.bus.connection import Bus
from kaiser_common.bus.rpc import RpcError
from kaiser_common.bus.turns import turn_of
from kaiser_common.bus.waiting import set_within
from kaiser_common.contract.schemas.api.replays import ReplayControl
from kaiser_common.contract.schemas.factory import FactoryEnvironment, FactoryReplay, ReplayPlace, ReplayState
from kaiser_common.runtime.database import DatabasePool
from kaiser_common.runtime.loops import until_done
from kaiser_factory_dialect.lanes import Gate
from kaiser_factory_dialect.recordings import Recorded

from kaiser_recorder import metrics, publish
from kaiser_recorder.domain.replayed import ReplayedTopics, ToSend, to_send
from kaiser_recorder.domain.schedule import Schedule
from kaiser_recorder.jobs import environments
from kaiser_recorder.jobs.ahead import Ahead, refused_so_far
from kaiser_recorder.jobs.turn_snapshot import TurnSnapshot
from kaiser_recorder.store import recordings, replays
from kaiser_recorder.store.replays import Replay

log = structlog.get_logger()

_LOOK_S = 0.02
_SOON_S = 0.005
_SAY_EVERY_S = 0.5
_FOLLOWS_WITHIN_S = 20.0
_SETTLES_WITHIN_S = 30.0
_RETRY_S = 1.0
_CONTROLLED_WITHIN_S = 25.0
"""Less than the 30 s for which the gateway waits."""
_PIECE_BYTES = 1024 * 1024
"""A piece of so many bytes of payloads goes to the OUTBOX whole, with its place: in base64 2.7 MiB at most, of 4."""
_MOST_DEVICES = 1000
_KNOWN_AFTER_S = 1.0
"""The time after which ingest knows a device that was registered."""
_REFUSED_BELOW = 500
_REFUSED_S = 5.0
"""ingest may know of a switch before our mirror does."""


class Player:
    """Plays one replay; `control` may be called at any time while `run` runs."""

    def __init__(
        self,
        bus: Bus,
        pool: DatabasePool,
        replay: Replay,
        environment: Callable[[], FactoryEnvironment | None],
        interfaces: tuple[str, ...],
    ) -> None:
        self.replay = replay
        self._bus = bus
        self._pool = pool
        self._environment = environment
        self._interfaces = interfaces
        self._topics = ReplayedTopics(replay.filters, replay.exclude)
        self._schedule = Schedule(replay.speed)
        self._buffer: deque[tuple[int, Recorded]] = deque()
        self._turn = asyncio.Lock()
        self._changed = asyncio.Event()
        self._is_saved = True
        self._wait_s: float | None = 0.0
        self._steps = 0
        self._ahead = Ahead(bus)
        self._said: tuple[str, float] = ("", 0.0)
        self._snapshot: TurnSnapshot | None = None
        self._since: float | None = None
        self._devices: set[str] = set()

    async def run(self) -> None:
        """Until it is at its end, or cancelled."""
        while self.replay.ended_at is None:
            self._changed.clear()
            await until_done(self._step, "replay_postponed")
            await self._rest()
        log.info("replay_ended", replay=self.replay.replay_id, state=self.replay.state, reason=self.replay.reason)

    async def control(self, control: ReplayControl) -> FactoryReplay:
        """Pause, resume, step, seek, stop, or another speed; committed when this returns.

        Database away: its error is raised, and nothing is changed. RpcError 503, and nothing changed either: a step,
        such as entering the environment, takes too long."""
        async with turn_of(self._turn, "the replay is in the middle of a step", _CONTROLLED_WITHIN_S):
            changed = await self._changed_by(control)
            async with self._pool.connection() as connection:
                await replays.save(connection, changed)
            self._become(changed, control)
        self._changed.set()
        await self._say()
        return changed.shown(datetime.now(UTC))

    async def _changed_by(self, control: ReplayControl) -> Replay:
        replay = self.replay
        match control.do:
            case "pause" if replay.state == "running":
                return replace(replay, state="paused")
            case "resume" if replay.state == "paused":
                return replace(replay, state="running")
            case "speed":
                speed = control.speed
                return replace(replay, speed=speed if isinstance(speed, float) else None)
            case "seek" if replay.state != "checking":
                at_us = replay.first_us + (control.to_ms or 0) * 1000
                async with self._pool.connection() as connection:
                    number = await replays.number_before(connection, replay.recording_id, at_us)
                number = min(number, replay.end_number)
                return replace(replay, phase="entering", number=number, turn=replay.turn + 1, position_us=at_us)
            case "stop":
                return self._ending(replay, "stopped", None)
        return replay

    def _become(self, changed: Replay, control: ReplayControl) -> None:
        if control.do == "step" and changed.state == "paused":
            self._steps += control.count
        if control.do in {"resume", "seek", "speed"}:
            self._schedule.restart(changed.speed)
        if control.do == "seek":
            self._forget_turn()
        self.replay = changed
        self._is_saved = True

    def _forget_turn(self) -> None:
        self._buffer.clear()
        self._snapshot, self._since, self._steps = None, None, 0

    async def _rest(self) -> None:
        """Wait until a message is due or a request comes."""
        wait_s = self._wait_s
        if wait_s == 0 or self.replay.ended_at is not None:
            await asyncio.sleep(0)
            return
        await set_within(self._changed, wait_s)

    async def _step(self) -> None:
        """One piece of work, and the commit of the place; how long to wait then is left in `_wait_s`."""
        async with self._turn:
            if self._is_saved:
                self._wait_s = await self._advance()
            if not self._is_saved:
                async with self._pool.connection() as connection:
                    await replays.save(connection, self.replay)
                self._is_saved = True
        await self._say()

    async def _advance(self) -> float | None:
        """Do the next piece. Returns the seconds until there is another one; None: only a request brings one."""
        replay, environment = self.replay, self._environment()
        if replay.phase == "ending":
            return await self._end()
        if environment is None:
            return _RETRY_S
        if replay.phase == "entering":
            return await self._enter(environment)
        if environment.env == replay.env and environment.epoch < replay.epoch:
            return _LOOK_S  # our mirror of it follows
        if (environment.env, environment.epoch) != (replay.env, replay.epoch):
            text = f"the environment was switched to {environment.env} (epoch {environment.epoch})"
            self._set(self._ending(replay, "failed", text))
            return 0.0
        match replay.phase:
            case "snapshot":
                return await self._begin_turn()
            case "checking":
                return await self._check()
        return await self._messages(Gate(environment.kind, replay.env, replay.epoch, replay.armed))

    async def _enter(self, environment: FactoryEnvironment) -> float:
        """Begin with an empty environment, which is a new epoch."""
        replay = self.replay
        if (environment.env, environment.kind) != (replay.env, "replay"):
            text = f"the environment was switched to {environment.env} ({environment.kind})"
            self._set(self._ending(replay, "failed", text))
            return 0.0
        if await self._ahead.count():
            return _LOOK_S  # the rest of the turn before is sent, or the new epoch would refuse it loudly
        arm = replay.env if replay.armed else None
        try:
            entered = await environments.restart(self._bus, environment.env, environment.epoch, arm)
        except RpcError as error:
            self._since = self._since or time.monotonic()
            if error.problem.status < _REFUSED_BELOW and time.monotonic() - self._since > _REFUSED_S:
                self._set(self._ending(replay, "failed", error.problem.detail))
                return 0.0
            log.warning("replay_not_entered", replay=replay.replay_id, reason=error.problem.detail)
            return _RETRY_S
        self._forget_turn()
        self._schedule.restart(replay.speed)
        shift_ms = await self._shift_ms()
        self._set(replace(replay, epoch=entered.epoch, phase="snapshot", shift_ms=shift_ms))
        return 0.0

    async def _shift_ms(self) -> int:
        replay = self.replay
        if replay.shift not in {"now", "none"}:
            return int(replay.shift) * 1000
        if replay.shift == "none":
            return 0
        async with self._pool.connection() as connection:
            page = await recordings.messages_after(connection, replay.recording_id, replay.number)
        first_us = page[0][1].at_us if page else replay.first_us
        return time.time_ns() // 1_000_000 - first_us // 1000

    async def _begin_turn(self) -> float:
        """Wait until the factory has followed, read what the broker would have held by here, and send it."""
        replay = self.replay
        if self._snapshot is None:
            self._since = self._since or time.monotonic()
            is_late = time.monotonic() - self._since > _FOLLOWS_WITHIN_S
            if not is_late and not await environments.has_followed(self._bus, replay.epoch):
                return 0.1
            self._snapshot = TurnSnapshot(self._pool, replay, self._topics, self._interfaces)
        if not self._snapshot.is_read:
            await self._snapshot.read_page()
        elif not self._snapshot.is_sent:
            part = self._snapshot.part(await self._ahead.room())
            if not part:
                return _LOOK_S
            await publish.to_outbox(self._bus, replay.env, replay.epoch, part)
            self._ahead.put(len(part))
            self._snapshot.passed(len(part))
        else:
            self._snapshot, self._since = None, None
            self._set(replace(replay, phase="messages"))
        return 0.0

    async def _messages(self, gate: Gate) -> float | None:
        """Send what is due."""
        replay = self.replay
        if replay.state == "paused" and not self._steps:
            return None
        if not self._buffer:
            last = replay.number
            if last >= replay.end_number:
                return await self._at_the_end()
            async with self._pool.connection() as connection:
                page = await recordings.messages_after(connection, replay.recording_id, last)
            self._buffer.extend(each for each in page if each[0] <= replay.end_number)
            if not self._buffer:  # the recording is shorter than it was
                self._set(replace(replay, number=replay.end_number))
                return 0.0
        return await self._send_due(gate)

    async def _send_due(self, gate: Gate) -> float | None:
        room = await self._ahead.room()
        if not room:
            return _LOOK_S
        sent: list[tuple[str, ToSend]] = []
        outcomes = {"sent": 0, "left out": 0, "failed": 0}
        taken, wait_s, size = 0, 0.0, 0
        replay = self.replay
        for number, message in self._buffer:
            if len(sent) >= room or (self._steps and len(sent) >= self._steps) or size > _PIECE_BYTES:
                break
            if not self._steps and (wait_s := self._schedule.wait_s(message.at_us, time.monotonic())) > _SOON_S:
                break
            taken += 1
            if not self._topics.has(message.topic):
                continue
            found = to_send(message, gate, replay.shift_ms, self._interfaces)
            if isinstance(found, ToSend):
                sent.append((f"replay.{replay.replay_id}.{replay.turn}.{number}", found))
                size += len(found.message.payload)
            else:
                outcomes[found] += 1
        if not await self._know_devices([each for _, each in sent]):
            return _RETRY_S
        outcomes["sent"] = len(sent)
        place = self._place_after(taken, outcomes) if taken else None
        await publish.to_outbox(self._bus, replay.env, replay.epoch, sent, place)
        self._passed(taken, outcomes)
        return wait_s if wait_s > _SOON_S and taken == 0 else 0.0

    def _place_after(self, taken: int, outcomes: dict[str, int]) -> ReplayPlace:
        """The place behind so many messages of the buffer."""
        (number, message), replay = self._buffer[taken - 1], self.replay
        return ReplayPlace(
            replay_id=replay.replay_id,
            turn=replay.turn,
            number=number,
            position_us=message.at_us,
            sent=replay.sent + outcomes["sent"],
            left_out=replay.left_out + outcomes["left out"],
            failed=replay.failed + outcomes["failed"],
        )

    def _passed(self, taken: int, outcomes: dict[str, int]) -> None:
        """Note that this many messages of the buffer are passed."""
        self._ahead.put(outcomes["sent"])
        self._steps = max(0, self._steps - outcomes["sent"])
        for outcome, count in outcomes.items():
            metrics.REPLAYED.labels(outcome.replace(" ", "_")).inc(count)
        behind_ms = self._schedule.take_behind_ms()
        metrics.REPLAY_BEHIND.inc(behind_ms / 1000)
        if not taken:
            return
        replay = self.replay.at(self._place_after(taken, outcomes))
        for _ in range(taken):
            self._buffer.popleft()
        if replay.number >= replay.end_number:
            self._steps = 0
        self._set(replace(replay, drift_ms=replay.drift_ms + behind_ms))

    async def _know_devices(self, sent: list[ToSend]) -> bool:
        """Register the simulated devices that are new here. False: health does not answer."""
        new = {each.device for each in sent if each.device is not None} - self._devices
        for device in sorted(new):
            if len(self._devices) < _MOST_DEVICES and not await environments.is_registered(self._bus, device):
                return False
            self._devices.add(device)
        if new:
            await asyncio.sleep(_KNOWN_AFTER_S)
        return True

    async def _at_the_end(self) -> float | None:
        """Everything is on the OUTBOX: wait until the broker has it, then begin again, compare, or end."""
        replay = self.replay
        if await self._ahead.count():
            return _LOOK_S
        refused = await refused_so_far(self._bus, replay.replay_id)
        if refused is None:
            return _LOOK_S
        if refused != replay.refused:
            self._set(replace(replay, refused=refused))
            return 0.0
        if replay.state == "paused":
            return None
        if replay.repeats:
            self._set(replace(replay, phase="entering", number=replay.begin_number, turn=replay.turn + 1))
        elif replay.expected is not None:
            self._since = None
            self._set(replace(replay, phase="checking", state="checking"))
        else:
            self._set(self._ending(replay, "done", None))
        return 0.0

    async def _check(self) -> float:
        """Compare the factory with what was expected, until it is that, or its time is over."""
        replay, now = self.replay, time.monotonic()
        if self._since is None:
            self._since = now
        found = await environments.differences_now(self._bus, replay.expected or {})
        if found and now - self._since < _SETTLES_WITHIN_S:
            return 0.5
        self._set(replace(self._ending(replay, "done", None), passed=not found, differences=found))
        return 0.0

    def _ending(self, replay: Replay, state: ReplayState, reason: str | None) -> Replay:
        """The replay at its end; one that is armed is disarmed before."""
        if replay.armed:
            return replace(replay, phase="ending", ends_as=state, reason=reason)
        return replace(replay, phase="ending", state=state, reason=reason, ended_at=datetime.now(UTC))

    async def _end(self) -> float:
        """Disarm, then end."""
        replay = self.replay
        environment = self._environment()
        left = environment is not None and (environment.env, environment.epoch) != (replay.env, replay.epoch)
        if not left and not await environments.disarm(self._bus):
            return _RETRY_S
        self._set(replace(replay, state=replay.ends_as or "stopped", ended_at=datetime.now(UTC)))
        return 0.0

    def _set(self, changed: Replay) -> None:
        self.replay = changed
        self._is_saved = False

    async def _say(self) -> None:
        """Publish how far it is, at each change of its state, else twice a second."""
        now = time.monotonic()
        state = f"{self.replay.state} {self.replay.turn} {self.replay.speed} {self.replay.ended_at}"
        if (state, now - self._said[1] < _SAY_EVERY_S) == (self._said[0], True):
            return
        self._said = (state, now)
        await publish.progress(self._bus, self.replay.shown(datetime.now(UTC)))
