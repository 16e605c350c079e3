"""The console's factory pages in a browser: from `make demo` to the Gantt chart, wide and narrow, light and dark."""

import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import forked
import pytest
import yaml
from browser import Person
from harness import ROOT, Stack, wait_until
from playwright.sync_api import Browser, expect

TOO_WIDE = """() => [...document.querySelectorAll("body *")]
    .filter(one => document.documentElement.scrollWidth > innerWidth && one.getBoundingClientRect().right > innerWidth)
    .map(one => one.outerHTML.slice(0, 120))"""
LOOKS = [(1440, "light"), (390, "dark")]
SPEED = 20
LONG_S = 240.0


@pytest.fixture(scope="module")
def plant(server_folder: Path) -> Iterator[Stack]:
    """A stack with the mock factory of `make demo FILE=demo/factory.yaml`, only faster."""
    stack = Stack(server_folder / f"stack-{secrets.token_hex(3)}", KAISER_MQTT_DIALECTS='["esp", "factory"]')
    content = yaml.safe_load((ROOT / "demo" / "factory.yaml").read_text())
    content["factory"] |= {"speed": SPEED, "faults": {"quality_failed": 0.3}}
    file = server_folder / f"factory-{secrets.token_hex(3)}.yaml"
    file.write_text(yaml.safe_dump(content))
    try:
        stack.start()
        command = ["kaiser-demo", "load", "--file", str(file)]
        done = forked.run(command, cwd=ROOT, env=stack.environment, timeout=200)
        assert done.returncode == 0, done.stdout + done.stderr
        yield stack
    finally:
        stack.stop()


@pytest.fixture(scope="module", params=LOOKS, ids=lambda look: f"{look[0]}-{look[1]}")
def onlooker(request: pytest.FixtureRequest, browser: Browser, plant: Stack) -> Iterator[Person]:
    """The administrator at a screen of some width, in some colours."""
    width, colours = request.param
    person = Person(browser, plant, width=width, colours=colours)
    person.look = f"{width}-{colours}"
    yield person.sign_in()
    person.leave()


def is_whole(onlooker: Person, name: str) -> None:
    """The page fits the screen, has no barrier, and had no error."""
    onlooker.screenshot(f"{name}-{onlooker.look}")
    assert onlooker.page.evaluate(TOO_WIDE) == []
    assert onlooker.accessibility() == []
    assert onlooker.troubles == []


def finished_order(plant: Stack, state: str = "FINISHED") -> dict[str, Any]:
    """A production order that has ended so; waits for one."""
    with plant.sign_in() as rest:

        def found() -> dict[str, Any] | None:
            answer = rest.get("/api/v1/factory/orders", params={"state": state, "limit": 100})
            items = answer.json()["items"] if answer.is_success else []
            return next((one for one in items if one["order_type"] == "PRODUCTION"), None)

        return dict(wait_until(found, f"an order is {state}", LONG_S))


def test_the_factory_shows_its_map_on_which_agvs_move_its_machines_and_its_store(onlooker: Person) -> None:
    onlooker.open("factory")
    page = onlooker.page
    expect(page.locator(".top-bar")).to_have_class(re.compile("top-bar-mock"))
    expect(page.locator(".environment")).to_contain_text("factory: mock")
    expect(page.locator(".factory-map .module")).to_have_count(6)
    expect(page.locator(".factory-map .agv")).to_have_count(2)
    expect(page.locator(".stock td")).to_have_count(9)
    machines = page.get_by_role("table", name="Modules and AGVs")
    mill = machines.locator("td[data-label='Serial']").filter(has_text="SVR3QA2098")  # an AGV may stand there
    expect(mill).to_contain_text("MILL")

    def nodes() -> list[str | None]:
        return [agv.get_attribute("data-node") for agv in page.locator(".factory-map .agv").all()]

    before = nodes()
    wait_until(lambda: nodes() != before, "an AGV has moved", LONG_S)
    figures = page.get_by_role("table", name="Figures of modules")
    expect(figures.locator("tr").filter(has_text="SVR3QA2098")).to_contain_text("%", timeout=LONG_S * 1000)
    expect(page.get_by_role("table", name="Figures of AGVs")).to_contain_text("5iO4")
    is_whole(onlooker, "factory")


def test_an_order_has_a_gantt_chart_and_its_workpiece_a_picture(onlooker: Person, plant: Stack) -> None:
    order = finished_order(plant)
    onlooker.open("orders")
    page = onlooker.page
    expect(page.locator(".gantt").first.locator(".gantt-bar").first).to_be_visible()
    is_whole(onlooker, "orders")
    page.get_by_role("link", name=f"Order {order['order_id']}").first.press("Enter")
    expect(page.locator("h1")).to_contain_text("Order")
    steps = page.locator(".gantt-steps > li")
    expect(steps).to_have_count(order["steps_total"])
    expect(steps.first).to_contain_text("START → HBW")
    expect(steps.first).to_contain_text("DOCK")
    expect(page.locator(".gantt-part-dock").first).to_be_attached()
    expect(page.locator(".gantt-steps .gantt-bar")).to_have_count(order["steps_total"])
    expect(page.locator("canvas[data-drawn]").first).to_be_visible()
    onlooker.says("retrieved")
    is_whole(onlooker, "order")


def test_a_failed_piece_shows_at_which_step_it_failed(onlooker: Person, plant: Stack) -> None:
    order = finished_order(plant, "ERROR")
    onlooker.open("orders", order["order_id"])
    expect(onlooker.page.locator(".gantt-steps .gantt-error")).to_have_count(1)
    expect(onlooker.page.locator(".gantt-steps > li").filter(has_text="CHECK_QUALITY")).to_contain_text("ERROR")


def test_an_order_is_previewed_sent_and_followed_by_keyboard_alone(onlooker: Person) -> None:
    onlooker.open("steering")
    page = onlooker.page
    onlooker.button("Order").focus()
    page.keyboard.press("Enter")
    expect(onlooker.button("Order")).to_have_attribute("aria-pressed", "true")
    onlooker.button("Preview").focus()
    page.keyboard.press("Enter")
    expect(page.locator(".plan")).to_contain_text("ccu/order/request")
    onlooker.button("Send").focus()
    page.keyboard.press("Enter")
    first = page.get_by_role("table", name="Commands, newest first").locator("tbody tr").first
    expect(first).to_contain_text("order")
    expect(first).to_contain_text(re.compile("accepted|finished"))
    is_whole(onlooker, "steering")


def test_what_nothing_answers_is_previewed_as_it_would_be_sent(onlooker: Person) -> None:
    onlooker.open("steering")
    page = onlooker.page
    for deed, topic, payload in (
        ("Park", "ccu/set/park", '"timestamp"'),
        ("Pair", "ccu/pairing/pair_fts", '"serialNumber"'),
        ("Camera", "/j1/txt/1/o/ptu", '"degree": 10'),
    ):
        onlooker.button(deed).click()
        onlooker.button("Preview").click()
        expect(page.locator(".plan")).to_contain_text(topic)
        expect(page.locator(".plan")).to_contain_text(payload)
        expect(onlooker.button("Send")).to_be_enabled()
    is_whole(onlooker, "steering-camera")


def test_an_instant_action_and_a_command_are_previewed_and_a_wrong_text_is_reported(onlooker: Person) -> None:
    onlooker.open("steering")
    page = onlooker.page
    onlooker.button("Instant action").click()
    page.get_by_label("Machine").select_option("leJ4")
    page.get_by_label("Metadata").fill("nodeId: HBW")
    onlooker.button("Preview").click()
    expect(page.get_by_role("alert")).to_contain_text("metadata is not JSON")
    expect(onlooker.button("Preview")).to_be_enabled()
    page.get_by_label("Metadata").fill('{"nodeId": "SVR3QA0022"}')
    onlooker.button("Preview").click()
    expect(page.locator(".plan")).to_contain_text("fts/v1/ff/leJ4/instantAction")
    expect(page.locator(".plan")).to_contain_text('"nodeId": "SVR3QA0022"')
    is_whole(onlooker, "steering-instant")

    onlooker.button("Command").click()
    page.get_by_label("Module").select_option("SVR4H73275")
    page.locator("select[name=command]").select_option("INPUT_RGB")
    onlooker.button("Preview").click()
    expect(page.locator(".plan")).to_contain_text("command INPUT_RGB")  # the module may be at work, which refuses it

    onlooker.button("Path").click()
    page.get_by_label("Vehicle").select_option("5iO4")
    page.get_by_label("Nodes, in order").fill("1 2")
    onlooker.button("Preview").click()
    expect(page.locator(".plan")).to_contain_text("takes route, or from and to, and no path")
    expect(onlooker.button("Send")).to_be_disabled()


def test_what_a_check_refuses_cannot_be_sent(onlooker: Person) -> None:
    onlooker.open("steering")
    page = onlooker.page
    onlooker.button("Reset").click()
    page.get_by_label("Type RESET to confirm").fill("reset")
    onlooker.button("Preview").click()
    expect(page.get_by_role("alert").or_(page.locator(".plan"))).to_contain_text(re.compile("RESET"))
    if page.locator(".plan").count():
        expect(onlooker.button("Send")).to_be_disabled()
