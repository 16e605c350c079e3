"""The list of stops and the answers to stops and clears stay small, however many devices are stopped."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kaiser_actuator.domain.stop_pages import MOST_ANSWERED, answered, page, position_of
from kaiser_common.contract.schemas.api.actuators import Emergencies, EmergenciesQuery, Emergency

FLEET = 20_000
MOST_BYTES = 1_000_000
"""NATS carries 4 MB in Kaiser's configuration."""


def stop(esp_id: str | None = None, gpio: int | None = None, at: int = 0, number: int = 0) -> Emergency:
    return Emergency(
        emergency_id=f"id-{number:08}", esp_id=esp_id, gpio=gpio, reason="x" * 200, raised_by="ada", raised_at=at
    )


STOPS = st.lists(
    st.builds(
        stop,
        st.sampled_from([None, "ESP_A", "ESP_B", "ESP_C"]),
        st.sampled_from([None, 4, 25]),
        st.integers(0, 3),
        st.integers(0, 10_000_000),
    ),
    max_size=30,
    unique_by=lambda one: one.emergency_id,
)


@given(STOPS, st.integers(1, 7))
def test_the_pages_are_the_list(stops, limit):
    found, cursor = [], None
    for _ in range(len(stops) + 1):
        items, cursor = page(stops, EmergenciesQuery(limit=limit, cursor=cursor))
        assert len(items) <= limit
        found += items
        if cursor is None:
            break
    assert cursor is None
    assert found == sorted(stops, key=position_of)


@given(STOPS)
def test_a_page_of_a_device_has_its_stops_alone(stops):
    items, _ = page(stops, EmergenciesQuery(esp_id="ESP_A"))
    assert {one.emergency_id for one in items} == {one.emergency_id for one in stops if one.esp_id == "ESP_A"}
    items, _ = page(stops, EmergenciesQuery(esp_id="ESP_A", gpio=4))
    assert {one.gpio for one in items} <= {4}


@pytest.mark.parametrize("cursor", ["", "x", "1 2", "1 x id", "1 9x id"])
def test_a_cursor_of_no_page_is_an_error(cursor):
    with pytest.raises(ValueError, match=r"cursor|int"):
        page([], EmergenciesQuery(cursor=cursor))


@pytest.mark.parametrize("asked", [None, "ESP_00004E1F"])
def test_with_a_fleet_stopped_an_answer_has_what_was_asked_about_and_few_others(asked):
    stops = [stop(f"ESP_{number:08X}", at=number, number=number) for number in range(FLEET)]
    stops.append(stop(at=FLEET, number=FLEET))
    items = answered(stops, asked)
    assert len(items) == MOST_ANSWERED
    assert [one for one in items if one.esp_id == asked]
    assert len(Emergencies(items=items, total=len(stops)).model_dump_json()) < MOST_BYTES / 10
    first, cursor = page(stops, EmergenciesQuery())
    assert first[0].esp_id is None, "the stop of everything is on the first page"
    assert cursor is not None
    assert len(Emergencies(items=first, total=len(stops)).model_dump_json()) < MOST_BYTES
