"""Which alerts of a device are the echo of a stop that it was sent, and which are a person's press at the device."""

from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kaiser_actuator.domain.echoes import Echoes
from kaiser_actuator.domain.emergency_core import ECHO_MS, REFUSES_MS, adds_nothing
from kaiser_common.contract.schemas.actuator import ActuatorAlert
from kaiser_common.contract.schemas.api.actuators import Clearing, Emergency

PRESSED = 1_000_000
CLEARING = Clearing(by="ada", reason="dry", asked_at=PRESSED + 100)
NUMBERS = count(1)


def stop(esp_id: str | None = "ESP_A", clearing: Clearing | None = None, gpio: int | None = None) -> Emergency:
    return Emergency(
        emergency_id="e1",
        esp_id=esp_id,
        gpio=gpio,
        reason="leak",
        raised_by="ada",
        raised_at=PRESSED,
        clearing=clearing,
    )


def alert(received_at: int, gpio: int = 5) -> ActuatorAlert:
    return ActuatorAlert.model_validate(
        {
            "esp_id": "ESP_A",
            "kaiser_id": "god",
            "gpio": gpio,
            "alert_type": "emergency_stop",
            "ts": 1,
            "received_at": received_at,
        }
    )


def explained(echoes: Echoes, received_at: int, gpio: int = 5) -> bool:
    return echoes.explained_by(alert(received_at, gpio), next(NUMBERS)) is not None


def test_an_alert_adds_nothing_to_a_stop_that_nobody_clears():
    assert adds_nothing(stop(None), None, alert(PRESSED + 10 * REFUSES_MS))


def test_under_a_stop_that_is_being_cleared_an_alert_adds_nothing_only_if_it_answers_a_stop():
    assert adds_nothing(stop(None, CLEARING), PRESSED, alert(PRESSED + REFUSES_MS - 1))
    assert not adds_nothing(stop(None, CLEARING), None, alert(PRESSED + 20))


def test_the_answer_to_a_stop_that_has_ended_adds_nothing_within_a_second():
    assert adds_nothing(None, PRESSED, alert(PRESSED + ECHO_MS - 1))
    assert not adds_nothing(None, PRESSED, alert(PRESSED + ECHO_MS)), "so late it is somebody's press"
    assert not adds_nothing(None, None, alert(PRESSED + 20)), "nobody sent it a stop"


@pytest.mark.parametrize("esp_id", ["ESP_A", None])
@pytest.mark.parametrize(("after_ms", "is_explained"), [(0, True), (REFUSES_MS - 1, True), (REFUSES_MS, False)])
def test_a_stop_explains_one_alert_of_each_actuator(esp_id: str | None, after_ms: int, is_explained: bool):
    echoes = Echoes()
    echoes.sent(esp_id, "m1", "e1", PRESSED)
    for gpio in (5, 6):
        assert explained(echoes, PRESSED + after_ms, gpio) is is_explained
        assert not explained(echoes, PRESSED + after_ms, gpio), "a person pressed too"


def test_the_same_message_twice_is_one_and_a_redelivered_alert_is_judged_as_before():
    echoes = Echoes()
    for _ in range(2):
        echoes.sent("ESP_A", "m1", "e1", PRESSED)
    first = echoes.explained_by(alert(PRESSED + 20), 7)
    assert first == PRESSED
    assert echoes.explained_by(alert(PRESSED + 20), 7) == first
    assert echoes.explained_by(alert(PRESSED + 20), 8) is None


@pytest.mark.parametrize(
    ("raised", "alerts"),
    [(stop("ESP_A"), 2), (stop(None), 4), (stop("ESP_A", gpio=5), 0)],  # to OFF a device does not alert
)
def test_a_stop_that_another_replica_raised_explains_the_answers_to_its_copies(raised: Emergency, alerts: int):
    echoes = Echoes()
    for _ in range(3):
        echoes.in_force(raised)
    assert [explained(echoes, PRESSED + 20) for _ in range(alerts + 1)] == [True] * alerts + [False]


def test_a_stop_that_was_raised_here_explains_no_more_than_was_sent():
    echoes = Echoes()
    echoes.sent("ESP_A", "m1", "e1", PRESSED)
    echoes.in_force(stop("ESP_A"))
    assert [explained(echoes, PRESSED + 20) for _ in range(2)] == [True, False]


STEPS = st.tuples(st.sampled_from(("stop", "stop all", "press")), st.integers(0, 2_000), st.integers(0, ECHO_MS - 1))


@given(st.lists(STEPS, max_size=12))
def test_as_many_alerts_are_unexplained_as_a_person_pressed_whatever_came_before_what(steps: list):
    """A device answers each stop that it is sent, after up to five seconds; its alerts come in the order of time."""
    now, sent, alerts = PRESSED, [], []
    for what, pause_ms, delay_ms in steps:
        now += pause_ms
        if what == "press":
            alerts.append(now)
        else:
            sent.append((now, "ESP_A" if what == "stop" else None))
            alerts.append(now + delay_ms)
    echoes, unexplained = Echoes(), 0
    for at in sorted(alerts):
        while sent and sent[0][0] <= at:
            sent_at, esp_id = sent.pop(0)
            echoes.sent(esp_id, f"m{len(sent)}", f"e{len(sent)}", sent_at)
        unexplained += not explained(echoes, at)
    assert unexplained == sum(what == "press" for what, _, _ in steps)
