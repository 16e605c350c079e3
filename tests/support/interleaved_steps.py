"""The steps of the model of stops: people, replicas, NATS, ingest and devices, each a rule of hypothesis."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from datetime import timedelta
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from interleaved_bucket import Bucket
from interleaved_replica import Replica, at, record_of, root_of
from interleaved_tables import Tables
from interleaved_world import DEVICES, PIN, SUBSCRIBED_AFTER_MS, TRACKED, UNTRACKED, Gates, Press, Said, World
from kaiser_actuator.domain.commands import CommandRecord
from kaiser_actuator.domain.emergencies import covering, key_of
from kaiser_actuator.domain.emergency_core import CONFIRMS_MS
from kaiser_actuator.domain.unit import admitted
from kaiser_common.bus.connection import BusUnavailable
from kaiser_common.bus.rpc import Caller, RpcError
from kaiser_common.contract.errors import Code
from kaiser_common.contract.schemas.actuator import ActuatorAlert
from kaiser_common.contract.schemas.api.actuators import ClearEmergency, EmergencyStop
from kaiser_common.contract.times import time_of

Whom = tuple[str | None, int | None]
"""A device, one of its actuators, or everything (None)."""
TARGETS = st.sampled_from(((None, None), (None, None), ("ESP_A", None), ("ESP_B", None), ("ESP_A", 5)))
ADA, BOB = Caller(user="ada", role="operator"), Caller(user="bob", role="operator")
ANY = st.integers(min_value=0, max_value=1_000_000)


class StopsSteps(RuleBasedStateMachine):
    """The possible steps."""

    @initialize(stopped=st.booleans())
    def begin(self, stopped: bool = True) -> None:
        """stopped: everything and an actuator are. A press at a device adds nothing under a stop that stays."""
        self.loop = asyncio.new_event_loop()
        self.loop.time = lambda: 0.0  # type: ignore[method-assign]
        self.gates, self.recording = Gates(self.loop), Gates(self.loop)
        self.world = World(self.gates)
        self.bucket = Bucket(self.gates)
        self.world.pins.ended = self.bucket.deleted
        self.replicas = [Replica(number, self.world, self.bucket, self.gates, self.recording) for number in range(2)]
        self.tasks: list[tuple[int, asyncio.Task[Any]]] = []
        self.slow = False
        """Whether nothing is recorded in the table for now."""
        self.asked: set[str] = set()
        """Ids in force at the moment at which somebody asked to clear them."""
        self.checked = 0
        """So many of the bucket's values were looked at."""
        self.named: dict[str, set[str]] = {}
        """The reasons of requests to clear what was not confirmed, each with the stops that it may clear."""
        self.waiting: dict[str, tuple[tuple[str, int], int]] = {}
        """Commands that wait for their device: the actuator, and the revision of the bucket when each was admitted."""
        self.looked_through = 0
        """So many of the commands that were given to the OUTBOX were looked at."""
        self.presses: list[tuple[str, asyncio.Task[Any]]] = []
        self.at_devices: list[Press] = []
        if stopped:
            self.press(0, (None, None))
            self.press(0, ("ESP_A", 5))
            self.flow(40)
            self.take_alerts()
        self.world.now += 60_000

    def comes_online(self, replica: int, esp_id: str, occasion: str) -> None:
        """A replica sends a device its stops, and once more when it has had the time to subscribe."""
        one = self.replicas[replica]
        one.subscribing[esp_id] = self.world.now + SUBSCRIBED_AFTER_MS
        self.until_done(replica, one.stops.send_again, esp_id, occasion)

    def until_done(self, replica: int, call: Callable[..., Awaitable[Any]], *args: Any) -> asyncio.Task[Any]:
        """A step that comes again where NATS did not answer: a message of a device, a device that is to be stopped."""

        async def done() -> Any:
            while True:
                try:
                    return await call(*args)
                except BusUnavailable:
                    continue

        return self.run(replica, done())

    def run(self, replica: int, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        async def answered() -> Any:
            try:
                return await coroutine
            except RpcError as error:
                return error
            except BusUnavailable as error:  # answered 503
                return RpcError(503, Code.DEPENDENCY_MISSING, str(error))

        task = self.loop.create_task(answered())
        self.tasks.append((replica, task))
        self.gates.settle()
        return task

    @rule(replica=st.integers(0, 1), whom=TARGETS)
    def press(self, replica: int, whom: Whom) -> None:
        stop = self.replicas[replica].api.stop(EmergencyStop(esp_id=whom[0], gpio=whom[1]), ADA)
        self.presses.append((key_of(*whom), self.run(replica, stop)))

    @rule(replica=st.integers(0, 1), whom=TARGETS, stored=st.booleans())
    def a_press_fails(self, replica: int, whom: Whom, stored: bool) -> None:
        """NATS does not answer; the stop may be stored all the same."""
        self.bucket.failures.append(stored)
        self.world.told_by_others.append(self.world.now)  # what a press that fails has sent is sent again
        self.press(replica, whom)

    @rule(stored=st.booleans())
    def a_batch_for_the_outbox_fails(self, stored: bool) -> None:
        """NATS does not answer; the messages may be stored all the same."""
        self.world.failures = [stored]
        self.world.told_by_others.append(self.world.now)  # what fails is sent again

    @rule(replica=st.integers(0, 1), whom=TARGETS)
    def clear(self, replica: int, whom: Whom) -> None:
        held = self.replicas[replica].stops.held(key_of(*whom))
        if held is not None:
            self.asked.add(held.stop.emergency_id)
        request = ClearEmergency(esp_id=whom[0], gpio=whom[1], all=whom[0] is None)
        self.run(replica, self.replicas[replica].api.clear(request, BOB))

    @rule(replica=st.integers(0, 1), whom=TARGETS, which=ANY)
    def clear_what_was_seen(self, replica: int, whom: Whom, which: int) -> None:
        """With the ids of an earlier answer: no other stop ends by it; 409 if one was raised since."""
        key = key_of(*whom)
        answers = [
            task.result().items
            for _, task in self.presses
            if task.done() and not task.cancelled() and not isinstance(task.result(), RpcError)
        ]
        seen = [ids for items in answers if (ids := [each.emergency_id for each in items if key_of(*at(each)) == key])]
        if not seen:
            return
        ids = seen[which % len(seen)]
        held = self.replicas[replica].stops.held(key)
        if held is not None and held.stop.emergency_id in ids:
            self.asked.add(held.stop.emergency_id)
        request = ClearEmergency(esp_id=whom[0], gpio=whom[1], all=whom[0] is None, ids=ids)
        task = self.run(replica, self.replicas[replica].api.clear(request, BOB))
        if held is not None and held.stop.emergency_id not in ids:
            assert task.done(), "it asks nobody"
            assert task.result().problem.status == 409
            assert self.replicas[replica].stops.held(key) == held

    @rule(replica=st.integers(0, 1), named=st.booleans(), which=ANY)
    def clear_what_was_not_confirmed(self, replica: int, named: bool, which: int) -> None:
        """All of it, or with the ids of some stops: no stop ends by it whose clear nobody has tried."""
        board = self.replicas[replica].stops.board()
        unconfirmed = {
            held.stop.emergency_id
            for held in board.values()
            if held.stop.not_cleared is not None and held.clearing is None
        }
        in_force = sorted(held.stop.emergency_id for held in board.values())
        ids = [each for number, each in enumerate(in_force) if which >> number & 1] if named else None
        chosen = unconfirmed if ids is None else unconfirmed.intersection(ids)
        reason = f"unconfirmed {len(self.named)}"
        self.named[reason] = set() if "all" in board else chosen
        self.asked |= {name for each in self.named[reason] for name in (each, root_of(each))}
        request = ClearEmergency(all=True, unconfirmed=True, ids=ids, reason=reason)
        task = self.run(replica, self.replicas[replica].api.clear(request, BOB))
        if not self.named[reason]:
            assert task.done(), "it asks nobody"
            assert task.result().problem.status == (409 if "all" in board or unconfirmed else 404)
            assert self.replicas[replica].stops.board() == board

    @rule(calls=st.integers(1, 12))
    def flow(self, calls: int) -> None:
        """A while in which all goes well."""
        for _ in range(calls):
            self.gates.open(0)
            if not self.slow:
                self.recording.open(0)
            for replica in self.replicas:
                replica.mirror.catch_up()
            self.world.ingest()
            self.world.ingest(behind=True)
            for esp_id in DEVICES:
                self.world.hear(esp_id)

    @rule(holds=st.booleans())
    def clears_are_held_up(self, holds: bool) -> None:
        """From now on clears come late to the OUTBOX; or those that were held up come now."""
        self.world.hold_up = holds
        if not holds:
            self.world.outbox += self.world.held_up
            self.world.held_up.clear()

    def flow_without_mirrors(self) -> None:
        for _ in range(12):
            self.gates.open(0)
            self.world.ingest()
            for esp_id in DEVICES:
                self.world.hear(esp_id)

    def read(self, replica: int, changes: int) -> None:
        for _ in range(changes):
            self.replicas[replica].mirror.step()

    @rule(which=ANY)
    def go_on(self, which: int) -> None:
        self.gates.open(which)

    @rule(replica=st.integers(0, 1))
    def look(self, replica: int) -> None:
        one = self.replicas[replica]
        if one.look is None or one.look.done():
            one.look = self.run(replica, self.looks(one))
        if one.retry is None or one.retry.done():
            one.retry = self.run(replica, one.stops.raise_again())
        for esp_id, due in [*one.subscribing.items()]:
            if due <= self.world.now:
                del one.subscribing[esp_id]
                self.until_done(replica, one.stops.send_again, esp_id, "subscribed")

    async def looks(self, one: Replica) -> None:
        began_at = self.world.now
        await one.clears.once()
        one.looked_at = began_at

    @rule(replica=st.integers(0, 1))
    def align(self, replica: int) -> None:
        """The table and the bucket are compared, as every five seconds."""
        one = self.replicas[replica]
        if one.aligning is None or one.aligning.done():
            one.aligning = self.run(replica, one.ledger.align())

    @rule(replica=st.integers(0, 1), esp_id=st.sampled_from(TRACKED))
    def a_command_waits_for_its_device(self, replica: int, esp_id: str) -> None:
        """Admitted by a replica that knows of no stop over the actuator, neither from the bucket nor from the table."""
        key = (esp_id, PIN)
        stops = {**Tables.stops_of(self.world), **self.replicas[replica].stops}
        if self.world.pins.locks[key].locked() or covering(stops, *key) is not None:
            return
        now = time_of(self.world.now)
        expires_at = now + timedelta(hours=10)
        name = f"on{len(self.waiting)}"
        command = CommandRecord(name, *key, "god", "ON", 1.0, 0, "ada", queued_at=now, expires_at=expires_at)
        self.world.pins.units[key] = admitted(self.world.pins.units[key], command)
        self.waiting[name] = key, self.bucket.revision

    @rule(replica=st.integers(0, 1))
    def what_waits_is_sent(self, replica: int) -> None:
        one = self.replicas[replica]
        if one.sweeping is None or one.sweeping.done():
            one.sweeping = self.run(replica, one.due._what_is_due(time_of(self.world.now)))

    @rule(slow=st.booleans())
    def records_are_held_up(self, slow: bool) -> None:
        """From now on the stops that are pressed are not recorded; or those that wait may be recorded now."""
        self.slow = slow

    @rule(which=ANY)
    def record(self, which: int) -> None:
        self.recording.open(which)

    @rule(replica=st.integers(0, 1))
    def mirror(self, replica: int) -> None:
        self.replicas[replica].mirror.step()

    @rule(messages=st.integers(1, 8), behind=st.booleans())
    def ingest(self, messages: int, behind: bool) -> None:
        for _ in range(messages):
            self.world.ingest(behind=behind)

    @rule(unacknowledged=st.integers(1, 3))
    def ingest_is_killed(self, unacknowledged: int) -> None:
        self.world.ingest_is_killed(unacknowledged)

    @rule(esp_id=st.sampled_from(DEVICES), messages=st.integers(1, 4))
    def device(self, esp_id: str, messages: int) -> None:
        for _ in range(messages):
            self.world.hear(esp_id)

    @rule(esp_id=st.sampled_from(DEVICES))
    def a_message_to_a_device_is_lost(self, esp_id: str) -> None:
        self.world.lose(esp_id)

    def read_all(self) -> None:
        for replica in self.replicas:
            replica.mirror.catch_up()

    @rule(replica=st.integers(0, 1), lost=st.booleans(), again=st.booleans())
    def answer(self, replica: int, lost: bool, again: bool) -> None:
        if not self.world.answers:
            return
        said = self.world.answers[0] if again else self.world.answers.pop(0)
        if said.esp_id in self.world.deleted:
            lost = True
        if said.is_alert:
            if lost and not again:
                self.world.missed(said.esp_id)
            elif not lost:
                self.take_alert(said)
        elif not lost:
            if self.world.stopped_at[said.esp_id] is not None:
                self.world.doubtful.add(said.esp_id)
            self.until_done(replica, self.replicas[replica].clears.confirmed, said.esp_id, said.sequence, said.at)

    def take_alerts(self) -> None:
        """The messages of devices before the next answer to a clear."""
        while self.world.answers and self.world.answers[0].is_alert:
            self.answer(0, lost=False, again=False)

    def take_alert(self, said: Said) -> None:
        """By the same process always: it knows best what it has sent."""
        body = {"kaiser_id": "god", "esp_id": said.esp_id, "gpio": 5, "ts": said.at, "received_at": said.at}
        alert = ActuatorAlert.model_validate({**body, "alert_type": "emergency_stop", "message": "Actuator stopped"})
        self.until_done(0, self.replicas[0].messages.on_alert, alert, said.sequence)
        for press in self.at_devices:
            if press.said == said and press.taken_at is None:
                press.taken_at = self.world.now

    @rule(esp_id=st.sampled_from(TRACKED))
    def press_at_the_device(self, esp_id: str) -> None:
        if not self.world.online[esp_id]:
            return
        self.world.now += 1  # a press is known by its millisecond: nobody presses twice in one
        self.world.stopped_at[esp_id] = self.world.now
        self.world.doubtful.add(esp_id)  # it stays stopped until its own stop is cleared, or if its alert was lost
        said = self.world.say(esp_id, is_alert=True, pressed=True)
        self.at_devices.append(Press(said, frozenset(self.asked)))

    @rule(ms=st.sampled_from((200, 2_000, 5_100, 16_000)))
    def time_passes(self, ms: int) -> None:
        self.world.now += ms

    @rule(esp_id=st.sampled_from(DEVICES))
    def device_leaves(self, esp_id: str) -> None:
        self.world.online[esp_id] = False
        if esp_id == UNTRACKED and "clear_emergency" in self.world.on_way[esp_id]:
            self.world.doubtful.add(esp_id)
        self.world.on_way[esp_id].clear()
        self.world.missed(esp_id)

    @rule(esp_id=st.sampled_from(DEVICES))
    def device_returns(self, esp_id: str) -> None:
        if not self.world.online[esp_id]:
            self.world.online[esp_id] = True
            occasion = self.world.occasion()
            for number in range(2):
                self.comes_online(number, esp_id, occasion)

    @rule(esp_id=st.sampled_from(DEVICES))
    def device_restarts(self, esp_id: str) -> None:
        """Too short to be missed: it forgets its stop, and what was on its way to it is lost."""
        if self.world.online[esp_id]:
            self.device_leaves(esp_id)
            self.world.stopped_at[esp_id] = None
            self.device_returns(esp_id)

    @rule(esp_id=st.sampled_from(DEVICES))
    def device_is_deleted(self, esp_id: str) -> None:
        self.world.deleted.add(esp_id)
        self.world.doubtful.add(esp_id)  # its answers are lost
        for replica in self.replicas:
            replica.records.pop(esp_id, None)

    @rule(esp_id=st.sampled_from(DEVICES))
    def device_is_registered_again(self, esp_id: str) -> None:
        if esp_id not in self.world.deleted:
            return
        self.world.deleted.remove(esp_id)
        occasion = self.world.occasion()
        for number, replica in enumerate(self.replicas):
            replica.records[esp_id] = record_of(esp_id)
            self.comes_online(number, esp_id, occasion)

    @rule(replica=st.integers(0, 1))
    def restart(self, replica: int) -> None:
        self.world.told_by_others.append(self.world.now)
        self.world.killed_at = self.world.now
        before, in_force = self.replicas[replica], self.bucket.stops()
        for task in [*(task for number, task in self.tasks if number == replica), *before.api._recording]:
            task.cancel()
        self.gates.settle()
        for esp_id, told in before.stops.told.items():
            came = max(told, self.world.written_again_at.get(esp_id, 0))
            may_be_late = came >= before.looked_at - CONFIRMS_MS or (esp_id, "clear_emergency") in self.world.lost
            if may_be_late and not {"all", esp_id} & {*in_force}:
                self.world.doubtful.add(esp_id)
        self.replicas[replica] = Replica(replica, self.world, self.bucket, self.gates, self.recording)
        self.replicas[replica].stops.resume()
        for esp_id in DEVICES:
            if self.world.online[esp_id]:
                self.comes_online(replica, esp_id, self.world.occasion())
