"""Explore in a browser: two sensors with an axis each, the period before, marks, CSV and PNG, an address to share."""

import csv
import io
import re
from collections.abc import Callable

from browser import Person
from devices import new_id
from harness import Stack, wait_until
from playwright.sync_api import expect

SENSORS = [
    {"gpio": 4, "sensor_type": "DS18B20", "base_value": 22.5, "unit": "°C", "interval_s": 0.5},
    {"gpio": 5, "sensor_type": "SHT31_humidity", "base_value": 51.0, "unit": "%RH", "interval_s": 0.5},
]


def a_mock(stack: Stack, made: list[str]) -> str:
    """A running mock with two sensors of different units in a zone, and a pump."""
    esp_id = new_id()
    body = {
        "esp_id": esp_id,
        "firmware": "b",
        "zone_id": "explored",
        "sensors": SENSORS,
        "actuators": [{"gpio": 25, "actuator_type": "pump"}],
    }
    with stack.sign_in() as rest:
        assert rest.post("/api/v1/debug/mock-esp", json=body).status_code == 201
        made.append(esp_id)
        latest = {"esp_id": esp_id}
        wait_until(
            lambda: len(rest.get("/api/v1/sensors/latest", params=latest).json()["items"]) == 2, "both sensors sent"
        )
        url = f"/api/v1/actuators/{esp_id}/25"
        wait_until(lambda: rest.get(url).status_code == 200, "the pump was reported")
        rest.put(url, json={"actuator_type": "pump", "name": "Pump X"}).raise_for_status()
        boots = f"/api/v1/debug/mock-esp/{esp_id}"
        wait_until(lambda: rest.get(boots).json()["state"] == "OPERATIONAL", "the mock has booted")
    return esp_id


def test_two_sensors_are_compared_marked_saved_and_shared(
    operator: Person, console_stack: Stack, made_mocks: list[str], make_person: Callable[..., Person]
):
    esp_id = a_mock(console_stack, made_mocks)
    page = operator.open("explore").page
    page.get_by_label("Search name, type, zone or device").fill(f"explored {esp_id}")
    fitting = page.get_by_role("group", name="Matching sensors")
    expect(fitting.get_by_role("button")).to_have_count(2)
    fitting.get_by_role("button").first.click()
    fitting.get_by_role("button").first.click()
    chart = page.get_by_role("img", name="Values of the chosen sensors")
    expect(chart.locator(".u-legend .u-series")).to_have_count(1 + 2 * 3)
    expect(chart.locator(".u-axis")).to_have_count(3)  # time, and an axis for each unit
    page.get_by_label("Show the period before").check()
    expect(chart.locator(".u-legend .u-series")).to_have_count(1 + 4 * 3)

    with console_stack.sign_in() as rest:
        command = {"command": "ON", "duration_s": 1}
        assert rest.post(f"/api/v1/actuators/{esp_id}/25/command", json=command).status_code == 202
        rest.post("/api/v1/actuators/emergency_stop", json={"esp_id": esp_id, "reason": "a test"}).raise_for_status()
        query = {"esp_id": esp_id, "kind": "stop_in_force"}
        wait_until(lambda: rest.get("/api/v1/alarms", params=query).json()["items"], "the stop is an alarm")
    page.reload()
    marks = page.locator(".marks li")
    expect(marks.filter(has_text="command ON to Pump X by admin")).to_have_count(1)
    expect(marks.filter(has_text="stop critical").first).to_contain_text(esp_id)
    expect(marks.filter(has_text="deployment Kaiser")).not_to_have_count(0)

    with page.expect_download() as saved:
        operator.button("CSV").click()
    rows = list(csv.DictReader(io.StringIO(saved.value.path().read_text())))
    assert {row["unit"] for row in rows} == {"°C", "%RH"}
    assert {row["device"] for row in rows} == {esp_id}
    assert {row["zone"] for row in rows} == {"explored"}
    assert all(row["time"].endswith("Z") and float(row["lowest"]) <= float(row["highest"]) for row in rows)
    with page.expect_download() as picture:
        operator.button("PNG").click()
    assert picture.value.path().read_bytes().startswith(b"\x89PNG")

    address = page.url.partition("#/")[2]
    other = make_person(width=390).sign_in().open(address)
    expect(other.page.locator(".u-legend .u-series")).to_have_count(1 + 4 * 3)
    expect(other.page.get_by_label("Show the period before")).to_be_checked()
    expect(other.page.locator(".marks li").filter(has_text="stop critical")).not_to_have_count(0)
    assert other.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    other.page.get_by_label("Mark alarms").uncheck()
    expect(other.page.locator(".marks")).to_have_count(0)
    expect(other.page).to_have_url(re.compile("-plain/"))
    with console_stack.sign_in() as rest:
        rest.post("/api/v1/actuators/clear_emergency", json={"esp_id": esp_id}).raise_for_status()


def test_a_free_time_is_chosen_and_left_again(operator: Person, console_stack: Stack, made_mocks: list[str]):
    esp_id = a_mock(console_stack, made_mocks)
    page = operator.open("explore", "3600000", f"{esp_id},4,ds18b20,").page
    chart = page.get_by_role("img", name="Values of the chosen sensors")
    expect(chart).to_be_visible()
    operator.button("From, to…").click()
    page.get_by_label("From", exact=True).fill("2026-01-01T00:00:00")
    page.get_by_label("To", exact=True).fill("2026-01-02T00:00:00")
    operator.button("Show").click()
    expect(page.locator(".explored")).to_contain_text("No figures in this time.")
    span = int(chart.get_attribute("data-to") or 0) - int(chart.get_attribute("data-from") or 0)
    assert span == 24 * 3600 * 1000
    assert f"86400000-{chart.get_attribute('data-to')}" in page.url
    operator.button("Back").click()
    expect(page).to_have_url(re.compile(f"#/explore/3600000/{esp_id}"))
