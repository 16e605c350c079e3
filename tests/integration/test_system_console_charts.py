"""Charts of the console: what is drawn, what the caption says, and how a person chooses the time."""

import re
from collections.abc import Callable

import pytest
from browser import Person
from charts import axis, column, drawn, fingers, shown_s, until_figures
from devices import now_ms
from harness import Stack, reading, wait_until
from playwright.sync_api import expect

HOUR_MS = 3_600_000
BUCKET_MS = 120_000
"""Of a chart of six hours."""


def test_a_sensors_newest_value_follows_and_its_history_can_be_zoomed(operator: Person, console_stack: Stack):
    [esp_id] = console_stack.register(1)
    at = now_ms()
    console_stack.publish([reading(esp_id, 4, at - number * 10_000, 20.0 + number) for number in range(1, 30)])
    operator.open("sensors").page.get_by_label("Search name, zone, device or type").fill(esp_id)
    expect(operator.row(esp_id)).to_contain_text("21 °C")
    operator.row(esp_id).get_by_role("link").first.click()
    words = operator.page.locator(".chart figcaption")
    expect(words).to_have_text("29 points; lowest 21 °C, highest 49 °C, last 21 °C.")
    console_stack.publish([reading(esp_id, 4, now_ms(), 12.5)])
    expect(words).to_have_text("30 points; lowest 12.5 °C, highest 49 °C, last 12.5 °C.")
    expect(operator.page.locator(".now")).to_have_text("12.5 °C")
    operator.button("Zoom out").click()
    expect(words).to_have_text(re.compile(r"^[5-7] points; lowest 12.5 °C, highest 49 °C, last 12.5 °C"))  # two hours
    plot = operator.page.locator(".u-over").bounding_box()
    operator.page.mouse.move(plot["x"] + plot["width"] * 0.9, plot["y"] + 50)
    operator.page.mouse.down()
    operator.page.mouse.move(plot["x"] + plot["width"] * 0.98, plot["y"] + 60, steps=5)
    operator.page.mouse.up()
    wait_until(lambda: shown_s(operator) == pytest.approx(0.08 * 7200, abs=60), "the part is shown that was marked")
    operator.page.mouse.dblclick(plot["x"] + plot["width"] / 2, plot["y"] + 50)
    wait_until(lambda: shown_s(operator) == pytest.approx(7200, abs=1), "a double-click leads back")
    operator.button("Back").click()
    expect(operator.button("1 h")).to_have_attribute("aria-pressed", "true")


def test_a_chart_shows_an_outage_as_a_hole_and_extremes_as_they_were(operator: Person, console_stack: Stack):
    silent, frosty = console_stack.register(2)
    at = now_ms()
    before = [reading(silent, 4, at - 1_800_000 + number * 10_000, 20.0 + number % 3) for number in range(60)]
    console_stack.publish([*before, reading(frosty, 4, at - 1000, -3.5), reading(frosty, 4, at, 31.0)])
    words = operator.open("sensors", silent, "4", "ds18b20").page.locator(".chart figcaption")
    expect(words).to_contain_text("60 points; lowest 20 °C, highest 22 °C")
    assert axis(operator)[1] == pytest.approx(now_ms(), abs=60_000), "the axis ends now"
    assert shown_s(operator) == pytest.approx(3600, abs=1)
    wait_until(lambda: drawn(operator, 0.45, 0.65) > 50, "the readings are drawn")
    assert drawn(operator, 0.75, 1.0) == 0, "nothing is drawn where nothing came"
    console_stack.publish([reading(silent, 4, now_ms(), 21.0)])
    expect(words).to_contain_text("61 points")
    wait_until(lambda: drawn(operator, 0.95, 1.0) > 0, "a single reading is a point")
    assert drawn(operator, 0.75, 0.94) == 0, "no line goes through the outage"
    operator.open("sensors", frosty, "4", "ds18b20")
    for span in ("1 day", "30 days"):
        operator.button(span).click()
        expect(words).to_contain_text("lowest -3.5 °C, highest 31 °C")
        wait_until(lambda: drawn(operator, 0.0, 1.0) > 0, f"{span}: one bucket is a point")


@pytest.mark.parametrize(("span", "hours"), [("6 h", 6), ("1 day", 24), ("30 days", 720)])
def test_a_chart_of_buckets_breaks_where_nothing_came(operator: Person, console_stack: Stack, span: str, hours: int):
    [esp_id] = console_stack.register(1)
    span_ms = hours * HOUR_MS
    ended = now_ms()
    away = range(ended - span_ms // 2, ended - span_ms // 3)
    times = [at for at in range(ended - 5 * span_ms // 6, ended, span_ms // 600) if at not in away]
    console_stack.publish([reading(esp_id, 4, at, 20.0 + number % 3) for number, at in enumerate(times)])
    words = operator.open("sensors", esp_id, "4", "ds18b20").page.locator(".chart figcaption")
    operator.button(span).click()
    wait_until(lambda: shown_s(operator) == span_ms / 1000, "the chart shows this time")
    expect(words).to_contain_text("lowest 20 °C, highest 22 °C")
    hole = [(at - axis(operator)[0]) / span_ms for at in (away.start, away.stop)]
    wait_until(lambda: drawn(operator, hole[0] - 0.05, hole[0] - 0.02) > 0, "the line is drawn before the hole")
    wait_until(lambda: drawn(operator, hole[1] + 0.02, hole[1] + 0.05) > 0, "and after it")
    assert drawn(operator, hole[0] + 0.02, hole[1] - 0.02, least_alpha=20) == 0, "neither line nor band is in it"


def test_a_chart_is_dragged_by_a_finger_and_its_time_typed_in(make_person: Callable[..., Person], console_stack: Stack):
    [esp_id] = console_stack.register(1)
    console_stack.publish([reading(esp_id, 4, now_ms(), 20.0)])
    person = make_person(width=390).sign_in().open("sensors", esp_id, "4", "ds18b20")
    expect(person.page.locator(".chart figcaption")).to_contain_text("1 point;")
    ended = axis(person)[1]
    person.page.evaluate(
        """() => {
            const target = document.querySelector(".u-over");
            const { left, width, top } = target.getBoundingClientRect();
            const at = (share) => ({ clientX: left + share * width, clientY: top + 50 });
            const touch = (share) => new Touch({ identifier: 1, target, ...at(share) });
            const send = (name, ...touches) => target.dispatchEvent(
              new TouchEvent(name, { touches, changedTouches: touches, bubbles: true, cancelable: true }));
            send("touchstart", touch(0.25));
            send("touchmove", touch(0.75));
            send("touchend");
        }"""
    )
    wait_until(lambda: axis(person)[1] == pytest.approx(ended - 1_800_000, abs=60_000), "half an hour earlier")
    person.button("From, to…").click()
    person.page.get_by_label("From", exact=True).fill("2026-01-31T10:00:00")
    person.page.get_by_label("To", exact=True).fill("2026-01-31T12:00:00")
    person.button("Show").click()
    wait_until(lambda: shown_s(person) == 7200, "the time that was typed in")
    person.says("No figures in this time.")


def test_a_chart_has_a_band_from_the_lowest_to_the_highest_and_the_mean_in_it(operator: Person, console_stack: Stack):
    [esp_id] = console_stack.register(1)
    ended = now_ms() // BUCKET_MS * BUCKET_MS - BUCKET_MS
    buckets = [ended - number * BUCKET_MS for number in range(1, 21)]
    values = (46.0, 70.0, 40.0)
    console_stack.publish(
        [reading(esp_id, 4, at + place * 30_000, value) for at in buckets for place, value in enumerate(values)]
    )
    words = operator.open("sensors", esp_id, "4", "ds18b20").page.locator(".chart figcaption")
    expect(words).to_have_text("60 points; lowest 40 °C, highest 70 °C, last 40 °C.")
    operator.button("6 h").click()
    expect(words).to_have_text("20 points; lowest 40 °C, highest 70 °C, last 40 °C.")
    middle = buckets[10]
    until_figures(operator, middle, {"value (°C)": "52", "value lowest (°C)": "40", "value highest (°C)": "70"})
    wait_until(lambda: len(column(operator, middle)["band"]) > 50, "the band is drawn")
    found = column(operator, middle)
    top, bottom = min(found["band"]), max(found["band"])
    mean = sum(found["line"]) / len(found["line"])
    assert (mean - top) / (bottom - top) == pytest.approx((70 - 52) / (70 - 40), abs=0.05)


def test_two_fingers_stretch_a_chart_and_what_is_under_them_stays(
    make_person: Callable[..., Person], console_stack: Stack
):
    [esp_id] = console_stack.register(1)
    console_stack.publish([reading(esp_id, 4, now_ms(), 20.0)])
    person = make_person(width=390).sign_in().open("sensors", esp_id, "4", "ds18b20")
    expect(person.page.locator(".chart figcaption")).to_contain_text("1 point;")
    touch = fingers(person)
    began, ended = axis(person)
    touch("touchStart", 0.25, 0.75)
    for spread in (0.05, 0.1, 0.15, 0.2):
        touch("touchMove", 0.25 - spread, 0.75 + spread)
    touch("touchEnd")
    wait_until(lambda: shown_s(person) == pytest.approx(3600 * 0.5 / 0.9, abs=30), "the chart is stretched")
    quarter = began + 0.25 * (ended - began)
    assert axis(person)[0] + 0.05 * shown_s(person) * 1000 == pytest.approx(quarter, abs=60_000)
    person.button("Back").click()
    wait_until(lambda: shown_s(person) == 3600, "the hour of before")
