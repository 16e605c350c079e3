"""Emergency stops under every interleaving: two operators, two replicas, three devices, delays, losses, restarts.

People press at the devices too, which alert then in the words with which they answer a stop.

The product's own EmergencyApi, Stops, Clears and the handler of alerts run against a bucket, an OUTBOX, a broker and
devices made here. Each call of theirs waits until the test lets it go on, so that hypothesis chooses what happens
before what.
"""

import asyncio
from collections.abc import Mapping

from hypothesis.stateful import invariant
from interleaved_courses import StopsCourses
from interleaved_replica import at, root_of
from interleaved_world import DEVICES, REFUSES_MS
from kaiser_actuator.domain.emergencies import covers, key_of
from kaiser_common.bus.rpc import RpcError
from kaiser_common.contract.schemas.api.actuators import Emergency


class StopsModel(StopsCourses):
    """The steps with what holds after each of them, and in the end."""

    @invariant()
    def no_command_that_waited_is_sent_under_a_stop_or_after_its_clear(self) -> None:
        """Of stops that were stored after the command. A stop that is recorded once the command is on its way is none
        of them, also within one step: its record waits for the actuator's row."""
        if not hasattr(self, "bucket"):
            return
        given, self.looked_through = self.world.pins.given[self.looked_through :], len(self.world.pins.given)
        for name, recorded, gone in given:
            key, admitted_at = self.waiting[name]
            over = [
                stop.emergency_id
                for _, revision, value in self.bucket.log
                if value and revision > admitted_at and covers(stop := Emergency.model_validate_json(value), *key)
            ]
            assert not gone.intersection(over), f"{name} was sent after the clear of one of {over}"
            assert not recorded.intersection(over), f"{name} was sent under {over}"

    @invariant()
    def only_what_somebody_asked_to_clear_is_over(self) -> None:
        """A stop answered 200 after a clear was asked is in force: it is never what that clear saw."""
        if not hasattr(self, "bucket"):
            return
        for emergency_id in self.bucket.deleted:
            assert root_of(emergency_id) in self.asked, f"{emergency_id} was cleared, and no clear named it"
        for _, task in self.tasks:
            if task.done() and not task.cancelled() and (error := task.exception()) is not None:
                raise error
        in_force = {key for key, (_, value) in self.bucket.now.items() if value is not None}
        for key, task in self.presses:
            if task.done() and not task.cancelled() and not isinstance(task.result(), RpcError):
                ids = {stop.emergency_id for stop in task.result().items if key_of(*at(stop)) == key}
                known = self.bucket.ids.get(key, {})
                since = min((known[each] for each in ids if each in known), default=0)
                asked = [revision for each, revision in known.items() if root_of(each) in self.asked]
                assert key in in_force or any(revision >= since for revision in asked), key

    @invariant()
    def what_was_not_confirmed_is_all_that_such_a_request_clears(self) -> None:
        if not hasattr(self, "bucket"):
            return
        values = [Emergency.model_validate_json(value) for _, _, value in self.bucket.log[self.checked :] if value]
        self.checked = len(self.bucket.log)
        begun = [(stop.emergency_id, stop.clearing.reason) for stop in values if stop.clearing is not None]
        for emergency_id, reason in [*begun, *self.world.cleared]:
            assert reason not in self.named or emergency_id in self.named[reason], f"{emergency_id} by {reason}"

    def teardown(self) -> None:
        if not hasattr(self, "bucket"):
            return
        try:
            self.all_agrees_in_the_end()
        finally:
            for task in asyncio.all_tasks(self.loop):
                task.cancel()
            self.gates.settle()
            self.loop.close()

    def all_agrees_in_the_end(self) -> None:
        """When all is done and delivered, each device's last emergency message agrees with what is in force."""
        self.slow = False
        for number in range(2):
            for esp_id in DEVICES:
                self.device_is_registered_again(esp_id)
                if not self.world.online[esp_id]:
                    self.device_returns(esp_id)
            for _ in range(9):
                for replica in self.replicas:
                    replica.mirror.catch_up()
                while self.gates.waiting or self.recording.waiting:
                    self.gates.open(0)
                    self.recording.open(0)
                while self.world.outbox:
                    self.world.ingest()
                for _ in range(len(self.world.redelivered)):
                    self.world.ingest()
                self.clears_are_held_up(False)  # behind all that has been said
                while self.world.outbox:
                    self.world.ingest()
                while self.world.behind:
                    self.world.ingest(behind=True)
                for esp_id in DEVICES:
                    while self.world.on_way[esp_id]:
                        self.world.hear(esp_id)
                while self.world.answers:
                    self.answer(number, False, False)
                self.world.now += 5_100
                for one in range(2):
                    self.look(one)
                    self.align(one)
                    self.what_waits_is_sent(one)
        self.no_command_that_waited_is_sent_under_a_stop_or_after_its_clear()
        self.only_what_somebody_asked_to_clear_is_over()
        in_force = self.bucket.stops()
        assert not any(stop.clearing for stop in in_force.values())
        for replica in self.replicas:
            held = {key: stop.emergency_id for key, stop in replica.stops.items()}
            assert held == {key: stop.emergency_id for key, stop in in_force.items()}, "each replica knows the same"
        for esp_id in DEVICES:
            if esp_id in self.world.unsure:
                continue
            if "all" in in_force or esp_id in in_force:
                assert self.world.last[esp_id] == "emergency_stop", f"{esp_id} is stopped and heard a clear last"
                assert self.world.stopped_at[esp_id] is not None, f"{esp_id} runs under a stop"
            elif esp_id not in self.world.doubtful and f"{esp_id}.5" not in in_force:
                assert self.world.stopped_at[esp_id] is None, f"{esp_id} is free and heard a stop last"
        self.what_was_pressed_at_a_device_holds(in_force)
        self.each_clear_that_was_given_up_is_published()

    def each_clear_that_was_given_up_is_published(self) -> None:
        """Left out: one that was followed by a newer press, or by the confirmation, before it was noticed."""
        for place, (key, revision, value) in enumerate(self.bucket.log):
            stop = Emergency.model_validate_json(value) if value else None
            if stop is None or stop.not_cleared is None or stop.clearing is not None:
                continue
            later = next((body for name, _, body in self.bucket.log[place + 1 :] if name == key), value)
            after = Emergency.model_validate_json(later) if later else None
            if after is None or after.emergency_id != stop.emergency_id:
                continue
            if after.clearing is not None or after.not_cleared is not None:
                event = f"emergency-{stop.emergency_id}-{revision}-not-cleared"
                assert event in self.world.events, f"{event} is missing"

    def what_was_pressed_at_a_device_holds(self, in_force: Mapping[str, Emergency]) -> None:
        """A press at a device locks it, though a clear was under way that knew nothing of it: something is in force, or
        somebody asked for another clear since. Left out: where another process sent stops, or the device missed one."""
        for press in self.at_devices:
            esp_id, at = press.said.esp_id, press.said.at
            doubts = [*self.world.unheard[esp_id], *self.world.told_by_others]
            if press.taken_at is None or any(at - 2 * REFUSES_MS < doubt <= press.taken_at for doubt in doubts):
                continue
            keys = ("all", esp_id, f"{esp_id}.5")
            ids = {emergency_id for key in keys for emergency_id in self.bucket.ids.get(key, {})}
            asked_since = {root_of(each) for each in ids} & (self.asked - press.asked)
            assert asked_since or any(key in in_force for key in keys), f"a press at {esp_id} was taken for an echo"


def with_nothing_in_force() -> StopsModel:
    model = StopsModel()
    model.begin()
    for whom in ((None, None), ("ESP_A", 5)):
        model.clear(0, whom)
        model.flow(12)
    settle(model)
    assert model.bucket.stops() == {}
    return model


def with_a_clear_that_was_taken() -> StopsModel:
    """ESP_A was stopped and took the clear; its confirmation is still on its way."""
    model = with_nothing_in_force()
    model.press(0, ("ESP_A", None))
    model.flow(20)
    model.clear(0, ("ESP_A", None))
    model.flow(12)
    model.time_passes(5_100)
    model.look(0)
    model.flow(12)
    assert model.world.stopped_at["ESP_A"] is None, "it took the clear"
    return model


def settle(model: StopsModel) -> None:
    """Time for all that is under way."""
    for _ in range(6):
        model.world.now += 5_100
        for replica in (0, 1):
            model.look(replica)
            model.flow(12)
            while model.world.answers:
                model.answer(replica, False, False)
            model.flow(12)
