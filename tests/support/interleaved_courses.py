"""Courses of several steps of the model of stops that chance alone would hardly take."""

from hypothesis import strategies as st
from hypothesis.stateful import rule
from interleaved_steps import ANY, TARGETS, StopsSteps, Whom
from interleaved_world import DEVICES, PIN, TRACKED


class StopsCourses(StopsSteps):
    """The steps, and courses of them."""

    @rule(
        replica=st.integers(0, 1),
        pressed=st.sampled_from((None, (None, None), ("ESP_A", None), ("ESP_C", None))),
        calls=st.integers(0, 12),
        named=st.booleans(),
        which=ANY,
    )
    def two_devices_do_not_confirm_and_are_cleared_together(
        self, replica: int, pressed: Whom | None, calls: int, named: bool, which: int
    ) -> None:
        """Their confirmations are lost; somebody may press at the other replica meanwhile."""
        self.clear_each(replica)
        for esp_id in TRACKED:
            self.press(replica, (esp_id, None))
        self.flow(20)
        for esp_id in TRACKED:
            self.clear(replica, (esp_id, None))
        for ms in (5_100, 16_000, 0):
            self.flow(12)
            self.world.now += ms
            while self.world.answers:
                self.answer(replica, lost=True, again=False)
            self.look(replica)
        if pressed is not None:
            self.press(1 - replica, pressed)
        for _ in range(calls):
            self.gates.open(which)
        self.clear_what_was_not_confirmed(replica, named, which)

    @rule(replica=st.integers(0, 1), whom=TARGETS, presses=st.integers(0, 2), calls=st.integers(0, 12), which=ANY)
    def somebody_presses_and_clears_what_was_seen_before(
        self, replica: int, whom: Whom, presses: int, calls: int, which: int
    ) -> None:
        """The other replica may not have read the newer presses yet."""
        self.press(replica, whom)
        self.flow(12)
        for _ in range(presses):
            self.press(1 - replica, whom)
        for _ in range(calls):
            self.gates.open(which)
        self.clear_what_was_seen(replica, whom, which)

    @rule(replica=st.integers(0, 1), whom=TARGETS, heard=st.booleans())
    def a_clear_is_on_its_way(self, replica: int, whom: Whom, heard: bool) -> None:
        """A clear that has been sent: held up on its way to the OUTBOX, or taken by the device."""
        self.flow(12)
        self.clear(replica, whom)
        self.flow(12)
        self.world.now += 5_100
        self.world.hold_up = not heard
        for _ in range(3):
            self.look(replica)
            self.flow(12)

    @rule(replica=st.integers(0, 1), pressed=TARGETS, reads=st.integers(0, 3), late=st.booleans())
    def a_clear_is_sent_by_a_replica_whose_mirror_lags(
        self, replica: int, pressed: Whom, reads: int, late: bool
    ) -> None:
        """ESP_A alone is stopped. Somebody stops at the other replica, which this one has not read, or reads late."""
        self.clear_each(replica)
        self.press(replica, ("ESP_A", None))
        self.flow(12)
        self.press(1 - replica, pressed)
        self.flow_without_mirrors()
        self.clear(replica, ("ESP_A", None))
        self.flow_without_mirrors()
        self.world.now += 5_100
        if not late:
            self.read(replica, reads)
        self.look(replica)
        if late:
            self.gates.open(0)
            self.read(replica, reads)
        self.flow_without_mirrors()

    def clear_each(self, replica: int) -> None:
        """Clear every device and everything, with what the devices confirm."""
        for whom in [*DEVICES, None]:
            self.flow(6)
            self.clear(replica, (whom, None))
        for _ in range(2):
            self.world.now += 5_100
            self.look(replica)
            self.flow(12)
            while self.world.answers:
                self.answer(replica, False, False)
            self.flow(12)

    @rule(replica=st.integers(0, 1), esp_id=st.sampled_from(TRACKED), wide=st.booleans(), cleared=st.booleans())
    def a_replica_is_killed_before_it_recorded_a_stop(
        self, replica: int, esp_id: str, wide: bool, cleared: bool
    ) -> None:
        """A command waits meanwhile, and the other replica clears the stop, or not."""
        self.a_command_waits_for_its_device(replica, esp_id)
        self.slow = True
        self.press(replica, (esp_id, None if wide else PIN))
        self.flow(12)
        self.restart(replica)
        self.slow = False
        if cleared:
            self.clear(1 - replica, (esp_id, None if wide else PIN))
            self.flow(12)
        self.what_waits_is_sent(1 - replica)
        self.flow(4)

    @rule(whom=TARGETS, unacknowledged=st.integers(1, 3), ms=st.sampled_from((0, 200, 5_100)))
    def ingest_is_killed_while_a_clear_is_under_way(self, whom: Whom, unacknowledged: int, ms: int) -> None:
        """The messages that it had written are written once more, behind those that came meanwhile."""
        self.flow(12)
        self.clear(0, whom)
        self.flow(6)
        self.world.now += 5_100
        self.look(0)
        self.flow(12)
        self.world.ingest_is_killed(unacknowledged)
        self.flow(6)
        self.world.now += ms
        self.flow(6)

    @rule(replica=st.integers(0, 1), esp_id=st.sampled_from(("ESP_A", "ESP_B")))
    def a_clear_is_given_up_and_the_stop_sent_then_is_lost(self, replica: int, esp_id: str) -> None:
        """The device took the clear, and its confirmation is lost as well."""
        self.press(replica, (esp_id, None))
        self.flow(20)
        self.clear(replica, (esp_id, None))
        for ms in (5_100, 16_000):
            self.flow(12)
            self.world.now += ms
            while self.world.answers:
                self.answer(replica, lost=True, again=False)
            self.look(replica)
        for _ in range(20):
            self.gates.open(0)
            self.read_all()
            self.world.ingest()
        self.world.lose(esp_id)

    @rule(whom=TARGETS, pressed=st.sampled_from(TRACKED), ms=st.sampled_from((0, 200, 2_000)), first=st.booleans())
    def somebody_presses_at_the_device_while_its_stop_is_cleared(
        self, whom: Whom, pressed: str, ms: int, first: bool
    ) -> None:
        """One replica does it all; the press comes before the answers to the stop, or after them."""
        self.press(0, whom)
        if first:
            self.press_at_the_device(pressed)
        self.flow(20)
        self.clear(0, whom)
        self.flow(6)
        self.world.now += ms
        if not first:
            self.press_at_the_device(pressed)
        while self.world.answers:
            self.answer(0, lost=False, again=False)
        self.flow(12)
