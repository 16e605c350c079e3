"""A quick person at a slow console: what was typed, pressed or opened stays, whatever is drawn or answered meanwhile.

Answers are held on their way, and the page's clock stands where its intervals matter: nothing here depends on how fast
the machine is.
"""

import re
from collections.abc import Callable

from browser import Person
from devices import heartbeat, new_id, now_ms, of_device
from harness import Message, Stack, reading, wait_until
from holding import held, let_go, until_held
from playwright.sync_api import expect

_DRAWN = "for (let turn = 0; turn < 10; turn += 1) await null;"
"""By then all is drawn that is to be drawn, and nothing has run that the page does after a painting."""

_PRESSED = f"""async (name) => {{
    const pressed = [...document.querySelectorAll("button")].find((one) => one.textContent.trim() === name);
    pressed.click();
    {_DRAWN}
    return document.activeElement.name;
}}"""
_OPENED = f"""async (hash) => {{
    const opened = new Promise((done) => addEventListener("hashchange", done, {{ once: true }}));
    location.hash = hash;
    await opened;
    {_DRAWN}
    const menu = document.querySelector(".menu-button");
    menu.click();
    {_DRAWN}
    const focused = document.activeElement.textContent;
    for (let frame = 0; frame < 3; frame += 1) await new Promise(requestAnimationFrame);
    await new Promise((done) => setTimeout(done, 200));
    return [focused, menu.getAttribute("aria-expanded")];
}}"""
_GROWING = """async () => {
    const { html, render, useState } = await import("/console/ui/html.js");
    const holder = document.body.appendChild(document.createElement("div"));
    holder.style.cssText = "position: fixed; top: 0; left: 0; z-index: 9";
    function Growing() {
        const [rows, setRows] = useState(0);
        window.grow = () => setRows(3);
        window.clicked ??= 0;
        const above = [...Array(rows)].map((_, row) => html`<p key=${row} style="height: 5rem">row</p>`);
        return html`${above}<button id="growing" onClick=${() => { window.clicked += 1; }}>Press</button>`;
    }
    render(html`<${Growing} />`, holder);
}"""


def test_what_is_drawn_between_a_press_and_its_release_moves_no_button_away(make_person: Callable[..., Person]):
    person = make_person()
    person.page.clock.install()
    page = person.sign_in().page
    page.clock.pause_at(page.evaluate("Date.now()") / 1000 + 1)
    page.evaluate(_GROWING)
    place = page.locator("#growing").bounding_box()
    assert place is not None
    page.mouse.move(place["x"] + 5, place["y"] + 5)
    page.mouse.down()
    page.evaluate("window.grow()")
    page.mouse.up()
    assert page.evaluate("window.clicked") == 1
    page.clock.run_for(10)
    moved = page.locator("#growing").bounding_box()
    assert moved is not None
    assert moved["y"] > place["y"] + 100, "then it is drawn"


def test_a_dialog_a_page_and_a_menu_are_there_for_the_next_key_or_press(make_person: Callable[..., Person]):
    person = make_person(width=390).sign_in().open("devices")
    assert person.page.evaluate(_PRESSED, "Register a device") == "esp_id"
    person.page.keyboard.press("Escape")
    expect(person.dialog()).to_have_count(0)
    assert person.page.evaluate(_OPENED, "#/rules") == ["Rules", "true"]


def test_a_late_answer_closes_no_other_dialog_and_leads_nobody_away(operator: Person):
    name = new_id("Late")
    operator.open("zones").button("New zone").click()
    operator.dialog().get_by_label("Name", exact=True).fill(name)
    with held(operator, "**/api/v1/zones", "POST") as asked:
        operator.dialog().get_by_role("button", name="Add").click()
        until_held(operator, asked)
        operator.page.keyboard.press("Escape")
        expect(operator.dialog()).to_have_count(0)
        operator.button("New zone").click()
        field = operator.dialog().get_by_label("Name", exact=True)
        field.fill("The next one")
        let_go(asked)
        operator.says(f"{name} is added.")
        expect(field).to_have_value("The next one")
        operator.dialog().get_by_role("button", name="Add").click()
        until_held(operator, asked)
        operator.page.keyboard.press("Escape")
        operator.open("rules", "new").page.get_by_label("Description").fill("typed meanwhile")
    operator.says("The next one is added.")
    expect(operator.page.get_by_label("Description")).to_have_value("typed meanwhile")
    with operator.stack.sign_in() as rest:
        for zone in rest.get("/api/v1/zones").raise_for_status().json()["items"]:
            if zone["name"] in (name, "The next one"):
                rest.delete(f"/api/v1/zones/{zone['zone_id']}").raise_for_status()


def test_a_page_that_asks_every_two_seconds_shows_answers_that_take_longer(
    make_person: Callable[..., Person], mock: str
):
    person = make_person()
    person.page.clock.install()
    page = person.sign_in().page
    with held(person, f"**/api/v1/debug/mock-esp/{mock}") as asked:
        person.open("mocks", mock)
        until_held(person, asked)
        page.clock.pause_at(page.evaluate("Date.now()") / 1000 + 1)
        for _ in range(10):
            page.clock.run_for(1000)
        assert page.title()
        assert len(asked) == 2, "at its opening, and the first time that it asked again"
        asked.pop(0).continue_()
        expect(page.locator(".facts").first).to_contain_text("OPERATIONAL")


def test_the_names_that_come_late_close_no_dialog_in_which_somebody_types(operator: Person, console_stack: Stack):
    [esp_id] = console_stack.register(1)
    zone, name = f"zone-{esp_id[-12:-4].lower()}", f"House of {esp_id}"
    placed = f"{esp_id[:-4]}_Z"
    with console_stack.sign_in() as rest:
        rest.post("/api/v1/zones", json={"zone_id": zone, "name": name}).raise_for_status()
        rest.post("/api/v1/esp/devices", json={"esp_id": placed, "zone_id": zone}).raise_for_status()
        console_stack.settle_registry()
        console_stack.publish([heartbeat(placed), status(placed, 25)])
        wait_until(lambda: rest.get(f"/api/v1/actuators/{placed}/25").is_success, "the pump is known")
    with held(operator, "**/api/v1/overview") as asked:
        operator.page.reload()
        operator.open("actuators", f"zone_id={zone}").row(placed).get_by_role("button", name="Off").click()
        reason = operator.dialog().get_by_label("Reason")
        reason.fill("a long")
        expect(operator.page.get_by_role("rowheader", name=name)).to_have_count(0)
        until_held(operator, asked)
    expect(operator.page.get_by_role("rowheader", name=name, include_hidden=True)).to_have_count(1)
    operator.page.keyboard.type(" reason")
    expect(reason).to_have_value("a long reason")
    operator.page.keyboard.press("Escape")


def test_rows_that_change_their_order_take_no_dialog_away(operator: Person, console_stack: Stack):
    [esp_id] = console_stack.register(1)
    console_stack.publish([heartbeat(esp_id), *(status(esp_id, gpio) for gpio in (25, 26, 27))])
    actuators = operator.open("devices", esp_id).page.get_by_role("table", name="Actuators", include_hidden=True)
    rows = actuators.locator("tbody tr")
    expect(rows).to_have_count(3)
    rows.filter(has_text="gpio 25").get_by_role("button", name="Off").click()
    operator.page.keyboard.type("a long")
    console_stack.publish([status(esp_id, 27, error="no water")])
    expect(rows.first).to_contain_text("gpio 27")
    operator.page.keyboard.type(" reason")
    expect(operator.dialog().get_by_label("Reason")).to_have_value("a long reason")
    assert operator.dialog().evaluate("one => one.matches(':modal')")
    operator.page.keyboard.press("Escape")


def status(esp_id: str, gpio: int, **fields: str) -> Message:
    """The report of a pump."""
    body = {"ts": now_ms(), "gpio": gpio, "actuator_type": "pump", "state": False, "value": 0, **fields}
    return of_device(esp_id, f"actuator/{gpio}/status", body)


def test_a_zone_that_somebody_has_chosen_stays_when_another_one_is_added(operator: Person, console_stack: Stack):
    esp_id = new_id("ESP")
    mine, other = f"mine-{esp_id[-8:].lower()}", f"other-{esp_id[-8:].lower()}"
    with console_stack.sign_in() as rest:
        rest.post("/api/v1/zones", json={"zone_id": mine, "name": f"House {mine}"}).raise_for_status()
        operator.begin_again()  # so that it reads the zone
        operator.open("devices").button("Register a device").click()
        zone = operator.dialog().locator("select[name=zone_id]")
        zone.select_option(mine)
        rest.post("/api/v1/zones", json={"zone_id": other, "name": f"House {other}"}).raise_for_status()
        console_stack.publish([heartbeat(esp_id)])  # nobody knows it: the page reads all names again
        expect(zone.locator(f"option[value={other}]")).to_be_attached()
        expect(zone).to_have_value(mine)
        operator.page.keyboard.press("Escape")
        rest.delete(f"/api/v1/esp/devices/{esp_id}").raise_for_status()
        for one in (mine, other):
            rest.delete(f"/api/v1/zones/{one}").raise_for_status()


def test_an_alarm_that_comes_leaves_the_pages_of_the_list_that_somebody_has_loaded(
    operator: Person, console_stack: Stack
):
    """The page asks for 100 alarms; here the request on its way asks for one."""
    [esp_id] = console_stack.register(1)

    def is_too_warm(gpio: int) -> None:
        with console_stack.sign_in() as rest:
            rest.put(f"/api/v1/alarms/limits/{esp_id}/{gpio}/ds18b20", json={"hi": 30}).raise_for_status()
            console_stack.publish([reading(esp_id, gpio, now_ms(), 31.5)])

            def is_alarm() -> bool:
                items = rest.get("/api/v1/alarms", params={"esp_id": esp_id}).json()["items"]
                return gpio in {one["gpio"] for one in items}

            wait_until(is_alarm, "it is an alarm")

    for gpio in (4, 5):
        is_too_warm(gpio)
    narrow = re.compile(r"/api/v1/alarms\?")
    operator.page.route(narrow, lambda route: route.continue_(url=route.request.url.replace("limit=100", "limit=1")))
    rows = operator.open("alarms", "kind=limit_hi", "group=none").page.locator("tbody tr")
    expect(rows).to_have_count(1)
    operator.button("Load more").click()
    expect(rows).to_have_count(2)
    is_too_warm(6)
    expect(rows.first).to_contain_text("gpio 6")
    expect(rows.first).to_contain_text(esp_id)
    expect(rows).to_have_count(2)


def test_a_verdict_on_what_somebody_has_changed_since_is_not_shown(operator: Person, console_stack: Stack):
    esp_id = new_id("TEST")
    console_stack.publish([reading(esp_id, 4, now_ms(), 21.5)])
    with console_stack.sign_in() as rest:
        of_it = {"esp_id": esp_id}
        wait_until(lambda: rest.get("/api/v1/rejected", params=of_it).json()["items"], "the message is rejected")
    operator.open("rejected").row(esp_id).get_by_role("button", name="Show…").first.click()
    with held(operator, "**/check", "POST") as asked:
        operator.button("Check it").click()
        until_held(operator, asked)
        operator.dialog().get_by_label("Payload").fill("{}")
    expect(operator.button("Check it")).to_be_enabled()
    expect(operator.dialog()).not_to_contain_text("would be")
    operator.button("Check it").click()
    expect(operator.dialog()).to_contain_text("would be rejected")
    operator.page.keyboard.press("Escape")
