"""Alarms in the console: a limit in three clicks from the chart, acknowledged on all open consoles, kept overnight."""

import re
from collections.abc import Callable

from browser import Person
from harness import Stack, wait_until
from playwright.sync_api import expect


def test_a_limit_is_set_from_the_chart_and_its_alarm_is_acknowledged_on_every_console(
    operator: Person, viewer: Person, mock: str
):
    viewer.open("alarms")
    operator.open("sensors", mock, "4", "ds18b20")
    operator.button("Alarm limits…").click()
    operator.dialog().get_by_label("Warning over").fill("5")
    operator.dialog().get_by_label("Warning under").fill("10")
    operator.dialog().get_by_role("button", name="Save").click()
    expect(operator.dialog().get_by_role("alert")).to_contain_text("hi (5) must be above lo (10)")
    operator.dialog().get_by_label("Warning under").fill("")
    operator.dialog().get_by_role("button", name="Save").click()
    expect(operator.dialog()).to_have_count(0)

    expect(operator.page.locator(".alarm-badge")).to_contain_text(re.compile(r"\d"))
    seen = viewer.row(mock).filter(has_text="over hi 5")
    expect(seen).to_contain_text("raised")
    expect(seen.get_by_role("button", name=re.compile("^Acknowledge"))).to_have_count(0)
    operator.page.locator(".alarm-badge").click()
    row = operator.row(mock).filter(has_text="over hi 5")
    row.get_by_role("button", name=re.compile("^Acknowledge")).click()
    expect(row).to_contain_text("acknowledged by admin")
    expect(seen).to_contain_text("acknowledged by admin")

    row.get_by_role("button", name=re.compile("^Shelve")).click()
    operator.dialog().get_by_label("Why").fill("being repaired")
    operator.dialog().get_by_role("button", name="Shelve").click()
    expect(seen).to_contain_text("shelved by admin until")
    row.get_by_role("button", name=re.compile("^Show")).click()
    expect(operator.dialog()).to_contain_text("shelved")
    expect(operator.dialog()).to_contain_text("being repaired")
    operator.page.keyboard.press("Escape")

    operator.open("sensors", mock, "4", "ds18b20").button("Alarm limits…").click()
    operator.button("Remove the limits").click()
    expect(operator.dialog()).to_have_count(0)
    operator.open("alarms").page.get_by_label("Show").select_option("closed")
    expect(operator.row(mock).filter(has_text="over hi 5")).to_contain_text("closed")


def test_an_alarm_that_was_raised_with_nobody_signed_in_is_there_for_who_comes(
    console_stack: Stack, make_person: Callable[..., Person], mock: str
):
    with console_stack.sign_in() as rest:
        rest.post(f"/api/v1/debug/mock-esp/{mock}/stop").raise_for_status()
        wait_until(lambda: rest.get("/api/v1/alarms", params={"esp_id": mock}).json()["items"], "an alarm is raised")
    person = make_person(width=390).sign_in().open("alarms")
    row = person.row(mock).filter(has_text="device offline")
    expect(row).to_contain_text("raised")
    expect(person.page.locator(".alarm-badge")).to_have_attribute("aria-label", re.compile(r"^\d+ alarms?$"))
    assert person.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
