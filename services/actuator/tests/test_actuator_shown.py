"""Which actuators a list shows, by state, zone and type: a table of cases."""

import pytest
from kaiser_actuator.domain.shown import is_shown
from kaiser_common.contract.schemas.api.actuators import Actuator, ActuatorsQuery


def pump(**values: object) -> Actuator:
    known = {"state": False, "value": 0.0, "known": True, "emergency": "normal", "zone_id": "north", **values}
    settings = {"esp_id": "ESP_A", "gpio": 25, "actuator_type": "pump", "registered": True}
    return Actuator.model_validate({**settings, **known})


AWAY = {"state": None, "known": False, "last_error": "no water"}


@pytest.mark.parametrize(
    ("query", "values", "shown"),
    [
        ({}, {}, True),
        ({"state": "on"}, {"state": True}, True),
        ({"state": "on"}, {}, False),
        ({"state": "off"}, {}, True),
        ({"state": "off"}, AWAY, False),
        ({"state": "unknown"}, AWAY, True),
        ({"state": "unknown"}, {}, False),
        ({"state": "failed"}, {"last_error": "no water"}, True),
        ({"state": "failed"}, {}, False),
        ({"state": "failed"}, AWAY, False),  # its device is counted
        ({"state": "stopped"}, {"emergency": "active"}, True),
        ({"state": "stopped"}, {}, False),
        ({"zone_id": "north"}, {}, True),
        ({"zone_id": "south"}, {}, False),
        ({"zone_id": "north"}, {"zone_id": None}, False),
        ({"actuator_type": "pump"}, {}, True),
        ({"actuator_type": "valve"}, {}, False),
        ({"actuator_type": "pump", "zone_id": "north", "state": "on"}, {"state": True}, True),
        ({"actuator_type": "pump", "zone_id": "south", "state": "on"}, {"state": True}, False),
    ],
)
def test_a_list_shows_the_actuators_that_are_asked_for(query, values, shown):
    assert is_shown(ActuatorsQuery(**query), pump(**values)) is shown
