"""Orders of calls around emergency stops that were once found, on the model of stops: each step is named here."""

from typing import Any

import pytest
from interleaved_stops import StopsModel, settle, with_a_clear_that_was_taken, with_nothing_in_force
from interleaved_world import PIN, UNTRACKED


def test_a_device_that_returns_while_its_stop_ends_is_free_in_the_end(quiet):
    """A replica that has not read the end of the stop sends it again, behind the clear."""
    model = StopsModel()
    model.begin()
    model.a_clear_is_on_its_way(0, (None, None), heard=True)
    model.device_leaves("ESP_A")
    while "ESP_A" in {said.esp_id for said in model.world.answers if not said.is_alert}:
        model.answer(0, lost=False, again=False)
    for _ in range(100):
        model.go_on(0)
        if "ESP_A" not in model.bucket.stops():
            break
    assert "ESP_A" in model.replicas[1].mirror
    model.device_returns("ESP_A")
    model.teardown()
    assert model.world.stopped_at["ESP_A"] is None


@pytest.mark.parametrize("stored", [True, False])
def test_a_press_that_nats_did_not_answer_is_in_force_in_the_end_and_ends_with_its_clear(quiet, stored):
    model = with_nothing_in_force()
    model.a_press_fails(0, ("ESP_A", 5), stored)
    model.flow(12)
    assert list(model.replicas[0].stops) == ["ESP_A.5"], "it refuses commands meanwhile"
    settle(model)
    assert list(model.bucket.stops()) == ["ESP_A.5"]
    model.clear(1, ("ESP_A", 5))
    settle(model)
    assert [list(replica.stops) for replica in model.replicas] == [[], []]
    model.teardown()


def test_a_press_that_is_not_stored_yet_is_not_ended_by_the_clear_of_an_older_one(quiet):
    """Another replica is about to write down that the older one is cleared."""
    model = with_nothing_in_force()
    older = model.world.table["e1"].stop
    model.a_press_fails(0, (None, None), stored=False)
    model.flow(12)
    model.align(0)
    model.flow(12)
    model.run(1, model.replicas[1].ledger.note_cleared(older, "bob", "dry"))
    settle(model)
    assert list(model.bucket.stops()) == ["all"]
    model.teardown()


def test_of_two_presses_that_nats_did_not_answer_the_newer_is_in_force_in_the_end_and_ends_with_its_clear(quiet):
    model = with_nothing_in_force()
    model.a_press_fails(0, ("ESP_A", None), stored=False)
    model.flow(12)
    model.look(0)  # tries it again
    model.a_press_fails(0, ("ESP_A", None), stored=False)
    newer = f"e{model.world.ids}"
    model.go_on(1)
    settle(model)
    assert [stop.emergency_id for stop in model.bucket.stops().values()] == [newer]
    model.clear(1, ("ESP_A", None))
    settle(model)
    assert [list(replica.stops) for replica in model.replicas] == [[], []]
    model.teardown()


def test_a_stop_that_is_written_down_after_it_was_cleared_is_not_sent_again(quiet):
    model = with_nothing_in_force()
    model.records_are_held_up(slow=True)
    model.press(0, ("ESP_A", None))
    model.flow(12)
    model.clear(0, ("ESP_A", None))
    settle(model)
    assert model.bucket.stops() == {}
    model.teardown()
    assert model.world.stopped_at["ESP_A"] is None


def test_a_press_that_is_written_down_after_a_newer_one_was_cleared_does_not_come_back(quiet):
    model = with_nothing_in_force()
    model.records_are_held_up(slow=True)
    for _ in range(2):
        model.press(0, ("ESP_A", None))
        model.flow(12)
    model.clear(0, ("ESP_A", None))
    settle(model)
    assert model.bucket.stops() == {}
    model.teardown()
    assert model.bucket.stops() == {}
    assert model.world.stopped_at["ESP_A"] is None


def test_a_device_that_is_sent_its_stop_again_while_its_clear_is_written_down_is_free_in_the_end(quiet):
    model = with_a_clear_that_was_taken()
    model.take_alerts()
    model.answer(0, lost=False, again=False)
    model.run(0, model.replicas[0].stops.send_again("ESP_A", "online"))
    model.flow(20)
    assert model.bucket.stops() == {}
    model.teardown()
    assert model.world.stopped_at["ESP_A"] is None


def test_a_stop_whose_clear_was_given_up_is_sent_again_though_nats_did_not_answer_at_first(quiet):
    """The device took the clear, and its confirmation was lost: it would run under the stop."""
    model = with_a_clear_that_was_taken()
    model.take_alerts()
    model.answer(0, lost=True, again=False)
    model.time_passes(16_000)
    model.look(0)
    model.a_batch_for_the_outbox_fails(stored=False)
    model.flow(12)
    assert model.bucket.stops()["ESP_A"].not_cleared is not None
    model.teardown()
    assert model.world.stopped_at["ESP_A"] is not None


@pytest.mark.parametrize("failed", [False, True])
def test_a_stop_whose_clear_was_given_up_reaches_its_device_though_one_message_is_lost(quiet, failed):
    """The device took the clear, its confirmation was lost, and so is the stop that is sent then: the next one comes
    two seconds later, also if NATS did not answer at first."""
    model = with_a_clear_that_was_taken()
    model.world.answers.clear()
    model.time_passes(16_000)
    model.look(0)
    if failed:
        model.a_batch_for_the_outbox_fails(stored=False)
        model.flow(6)
        model.look(0)
    while not model.world.on_way["ESP_A"]:
        model.go_on(0)
        model.read_all()
        model.world.ingest()
    model.a_message_to_a_device_is_lost("ESP_A")
    model.flow(12)
    assert model.world.stopped_at["ESP_A"] is None, "it runs under its stop"
    model.time_passes(2_000)
    model.look(0)
    model.flow(12)
    assert model.world.stopped_at["ESP_A"] is not None
    model.teardown()


@pytest.mark.parametrize("refused", [None, False, True])
@pytest.mark.parametrize("calls", range(0, 24))
def test_a_device_without_actuators_is_free_after_a_clear_of_everything_wherever_actuator_is_killed(
    quiet, calls, refused
):
    """Killed after so many calls to bucket, OUTBOX and database; before that NATS may refuse the clears (`refused`;
    True: they are stored all the same)."""
    model = with_nothing_in_force()
    model.press(0, (None, None))
    model.flow(20)
    model.world.now += 60_000
    model.clear(0, (None, None))
    model.flow(12)
    if refused is not None:
        model.world.failures = [refused]
    model.look(0)
    for _ in range(calls):
        model.go_on(0)
        model.read_all()
        model.look(0)
    model.restart(0)
    settle(model)
    assert model.world.stopped_at[UNTRACKED] is None
    assert "all" not in model.bucket.stops()
    model.teardown()


def test_a_device_without_actuators_gets_its_clear_again_if_one_is_lost(quiet):
    model = with_nothing_in_force()
    model.press(0, (None, None))
    model.flow(20)
    model.world.now += 60_000
    model.clear(0, (None, None))
    model.flow(12)
    model.look(0)
    for _ in range(40):
        if model.world.on_way[UNTRACKED]:
            break
        model.look(0)
        model.go_on(0)
        model.read_all()
        model.world.ingest()
    model.a_message_to_a_device_is_lost(UNTRACKED)
    settle(model)
    assert model.world.stopped_at[UNTRACKED] is None
    model.teardown()


@pytest.mark.parametrize("away_ms", [0, 10_000, 20_000, 60_000])
@pytest.mark.parametrize("stored", [False, True])
def test_a_device_without_actuators_that_refused_its_clear_gets_another_however_late_nats_takes_it(
    quiet, away_ms, stored
):
    """It restarted just before everything was cleared, so it was sent the stop once more and refuses the clear."""
    model = with_nothing_in_force()
    model.press(0, (None, None))
    model.flow(20)
    model.world.now += 60_000
    model.clear(0, (None, None))
    model.device_restarts(UNTRACKED)
    for _ in range(12):
        model.look(0)
        model.flow(4)
    assert "all" not in model.bucket.stops()
    assert model.world.stopped_at[UNTRACKED] is not None
    for _ in range(0, away_ms, 1_000):
        model.world.failures = [stored]
        model.look(0)
        model.flow(2)
        model.world.now += 1_000
    model.world.failures = []
    settle(model)
    assert model.world.stopped_at[UNTRACKED] is None
    model.teardown()


FOUND: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "a device refuses the clear of everything, and 20 s pass until the next look": [
        ("ingest_is_killed_while_a_clear_is_under_way", {"ms": 200, "unacknowledged": 3, "whom": (None, None)}),
        ("restart", {"replica": 1}),
        ("look", {"replica": 1}),
        (
            "a_clear_is_sent_by_a_replica_whose_mirror_lags",
            {"late": False, "pressed": ("ESP_A", None), "reads": 2, "replica": 0},
        ),
    ],
}
"""Steps that broke an invariant once, without those that they do not need."""


@pytest.mark.parametrize("steps", FOUND.values(), ids=FOUND)
def test_what_random_steps_once_found_holds(quiet, steps):
    model = StopsModel()
    model.begin()
    for name, arguments in steps:
        getattr(model, name)(**arguments)
        model.only_what_somebody_asked_to_clear_is_over()
    model.teardown()


@pytest.mark.parametrize("cleared", [False, True])
@pytest.mark.parametrize("wide", [False, True])
def test_a_command_that_waits_is_not_sent_under_a_stop_whose_replica_was_killed_nor_after_its_clear(
    quiet, wide, cleared
):
    model = with_nothing_in_force()
    model.a_replica_is_killed_before_it_recorded_a_stop(0, "ESP_A", wide, cleared)
    settle(model)
    model.what_waits_is_sent(1)
    model.flow(12)
    assert list(model.waiting) == ["on0"]
    assert not model.world.pins.units["ESP_A", PIN].open, "it is cancelled"
    model.no_command_that_waited_is_sent_under_a_stop_or_after_its_clear()
    model.teardown()
