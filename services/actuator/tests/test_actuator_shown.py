"""Which actuators a list shows, by state, zone and type: a table of cases."""

import pytest
from kaiser_actuator.domain.shown import ActuatorNow, is_shown
from kaiser_actuator.domain.unit import Unit
from kaiser_common.contract.schemas.api.actuators import ActuatorSettings, ActuatorsQuery, Emergency
from kaiser_common.contract.schemas.device import DeviceRecord

AWAY = {"state": None, "last_error": "no water"}


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
        ({"state": "stopped"}, {"is_stopped": True}, True),
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


def pump(
    *,
    state: bool | None = False,
    last_error: str | None = None,
    zone_id: str | None = "north",
    is_stopped: bool = False,
) -> ActuatorNow:
    unit = Unit("ESP_1", 5, "god", ActuatorSettings(actuator_type="pump"), state=state, last_error=last_error)
    device = DeviceRecord(esp_id="ESP_1", kaiser_id="god", state="approved", online=True, zone_id=zone_id)
    stop = Emergency(emergency_id="e1", reason="smoke", raised_by="admin", raised_at=0) if is_stopped else None
    return ActuatorNow(unit, device, stop)
