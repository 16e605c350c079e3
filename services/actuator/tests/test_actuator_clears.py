"""When a clear that is under way is sent, and when it is given up."""

import pytest
from kaiser_actuator.domain.emergency_core import Held, Put, what_is_due
from kaiser_common.contract.schemas.api.actuators import Clearing, Emergency

PRESSED = 1_767_225_600_000
ASKED = PRESSED + 1_000
TOLD = PRESSED + 2_000
OVER = TOLD + 5_000 + 15_000


def being_cleared() -> Held:
    clearing = Clearing(by="ada", reason="dry", asked_at=ASKED)
    stop = Emergency(
        emergency_id="e1",
        esp_id="ESP_A",
        gpio=None,
        reason="leak",
        raised_by="ada",
        raised_at=PRESSED,
        clearing=clearing,
    )
    return Held(stop, 1, 1)


@pytest.mark.parametrize(
    ("now_ms", "heard_ms", "due"),
    [
        (TOLD + 4_999, TOLD + 4_999, "nothing"),  # the device would refuse it
        (TOLD + 5_000, TOLD + 5_000, "send"),
        (OVER - 1, OVER - 1, "send"),
        (OVER, OVER, "give up"),
        (OVER, OVER - 1, "send"),  # its confirmation may be among the messages that wait
        (OVER + 59_999, OVER - 1, "send"),
        (OVER + 60_000, OVER - 1, "give up"),
    ],
)
def test_a_clear_is_given_up_15_s_after_its_device_takes_one_if_what_it_said_by_then_is_read(now_ms, heard_ms, due):
    found = what_is_due({"ESP_A": being_cleared()}, set(), {"ESP_A": TOLD}, now_ms, heard_ms)
    expected = {"nothing": (0, 0), "send": (0, 1), "give up": (1, 0)}[due]
    assert (len(found.changes), len(found.clears)) == expected
    assert all(isinstance(change, Put) and change.stop.not_cleared for change in found.changes)
