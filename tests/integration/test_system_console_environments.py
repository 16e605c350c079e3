"""The environment is switched while pages are open: each shows the one in force, and nothing of another."""

import json
import re
from collections.abc import Callable, Iterator

import httpx
import pytest
from browser import Person
from harness import Message, Stack, wait_until
from playwright.sync_api import Browser, expect

pytestmark = pytest.mark.timeout(400)  # it waits for a stack

PAGES = ("factory", "orders", "steering", "messages", "recordings")
MACHINE = "SLIVE00001"
MOCK = "SVR3QA2098"
ORDER = {
    "orderId": "an-order-of-live",
    "type": "WHITE",
    "orderType": "PRODUCTION",
    "state": "IN_PROGRESS",
    "productionSteps": [],
}


@pytest.fixture
def plant(make_stack: Callable[..., Stack]) -> Stack:
    started: Stack = make_stack(KAISER_MQTT_DIALECTS='["esp", "factory"]').start()
    return started


@pytest.fixture
def pages(browser: Browser, plant: Stack) -> Iterator[dict[str, Person]]:
    """A window for each page of the factory; none may have an error."""
    found = {name: Person(browser, plant).sign_in().open(name) for name in PAGES}
    yield found
    for person in found.values():
        assert person.troubles == []
        person.leave()


def live_is_known(stack: Stack, rest: httpx.Client) -> None:
    """A machine and an order of the environment live."""
    state = {"serialNumber": MACHINE, "actionState": None, "errors": []}
    said = [
        Message(f"module/v1/ff/{MACHINE}/state", json.dumps(state).encode()),
        Message("ccu/order/active", json.dumps([ORDER]).encode()),
    ]

    def known() -> bool:
        stack.publish(said)  # what is said before ingest has subscribed is heard by nobody
        orders = rest.get("/api/v1/factory/orders")
        rows = rest.get("/api/v1/factory/modules")
        return (
            rows.is_success
            and MACHINE in {one["serial"] for one in rows.json()["items"]}
            and orders.is_success
            and ORDER["orderId"] in {one["order_id"] for one in orders.json()["items"]}
        )

    wait_until(known, "the machine and the order are known")


def shows(pages: dict[str, Person], name: str) -> None:
    for person in pages.values():
        expect(person.page.locator(".top-bar")).to_have_class(re.compile(rf"top-bar-{name}"))
        expect(person.page.locator(".environment")).to_contain_text(f"factory: {name}")


def test_open_pages_follow_the_environment_and_show_nothing_of_another(pages: dict[str, Person], plant: Stack) -> None:
    machines = pages["factory"].page.get_by_role("table", name="Modules and AGVs")
    orders = pages["orders"].page.get_by_role("table", name="Orders, newest first")
    steering = pages["steering"].page
    messages = pages["messages"].page.locator(".message-row")
    with plant.sign_in() as rest:

        def switch(name: str) -> None:
            rest.post("/api/v1/factory/environment", json={"profile": name}, timeout=120).raise_for_status()

        live_is_known(plant, rest)
        expect(machines).to_contain_text(MACHINE)
        expect(orders).to_contain_text("an-order")
        expect(messages.filter(has_text=MACHINE)).not_to_have_count(0)
        pages["steering"].button("Preview").click()
        expect(steering.locator(".plan")).to_contain_text("ccu/order/request")

        switch("mock")
        shows(pages, "mock")
        expect(steering.locator(".plan")).to_have_count(0)  # it was previewed for another environment
        body = {"speed": 20, "orders": [{"type": "WHITE"}]}
        wait_until(
            lambda: rest.post("/api/v1/debug/mock-factory", json=body).status_code == 201, "the mock factory is made"
        )
        expect(machines).to_contain_text(MOCK)
        expect(orders).to_contain_text("production of WHITE")
        expect(messages.filter(has_text=MOCK)).not_to_have_count(0)
        for person in pages.values():
            expect(person.page.locator("main")).not_to_contain_text(MACHINE)
        expect(orders).not_to_contain_text("an-order")

        switch("replay")
        shows(pages, "replay")
        pages["factory"].says("No message of the factory has been received yet")
        pages["orders"].says("There is no such order")
        expect(messages).to_have_count(0)

        switch("live")
        shows(pages, "live")
        expect(machines).to_contain_text(MACHINE)
        expect(machines).not_to_contain_text(MOCK)
        expect(orders).to_contain_text("an-order")
        expect(messages.filter(has_text=MOCK)).to_have_count(0)
