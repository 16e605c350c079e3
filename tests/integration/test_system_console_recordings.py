"""The console's page Recordings as a person uses it: import with its progress, record, replay with its controls."""

import json
import re
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import Person, add_user
from harness import ROOT, Stack, wait_until
from playwright.sync_api import Browser, expect

pytestmark = pytest.mark.timeout(400)  # its first test waits for a stack

GOLDEN = ROOT / "tests/golden"
FILE, EXPECT = GOLDEN / "factory-session.jsonl", GOLDEN / "factory-session.expected.json"
EXPECTED = json.loads(EXPECT.read_text())
TOO_WIDE = """() => [...document.querySelectorAll("body *")]
    .filter(one => document.documentElement.scrollWidth > innerWidth && one.getBoundingClientRect().right > innerWidth)
    .map(one => one.outerHTML.slice(0, 120))"""


@pytest.fixture(scope="module")
def factory_stack(server_folder: Path) -> Iterator[Stack]:
    """A stack with a factory, in the environment live."""
    stack = Stack(
        server_folder / f"stack-{secrets.token_hex(3)}",
        KAISER_MQTT_DIALECTS='["esp", "factory"]',
        KAISER_REQUEST_PER_SECOND="1000",
    )
    try:
        yield stack.start()
    finally:
        stack.stop()


@pytest.fixture
def visitor(browser: Browser, factory_stack: Stack) -> Iterator[Callable[..., Person]]:
    """`visitor(width=…, colours=…)`: somebody at the console, not signed in yet; no page may have had an error."""
    people: list[Person] = []

    def make(**options: Any) -> Person:
        people.append(Person(browser, factory_stack, **options))
        return people[-1]

    yield make
    for person in people:
        assert person.troubles == []
        person.leave()


def import_file(person: Person, path: Path, name: str) -> None:
    person.button("Import…").click()
    dialog = person.dialog()
    dialog.locator("input[type=file]").set_input_files(path)
    dialog.get_by_label("Name (empty: that of the file)").fill(name)
    dialog.get_by_role("button", name=re.compile("^Import")).click()
    expect(person.dialog()).to_have_count(0)
    expect(person.row(name)).to_contain_text("ready")


def test_a_file_is_imported_shown_and_exported_again(visitor: Callable[..., Person]):
    person = visitor().sign_in().open("recordings")
    import_file(person, FILE, "Monday")
    row = person.row("Monday")
    expect(row).to_contain_text(str(EXPECTED["messages"]))
    expect(row).to_contain_text("5 lines skipped")
    row.get_by_role("button", name="Show Monday").click()
    expect(person.dialog()).to_contain_text("line 60: no JSON")
    person.page.keyboard.press("Escape")
    with person.page.expect_download() as download:
        row.get_by_role("button", name="Export Monday").click()
    assert download.value.suggested_filename == "Monday.jsonl"
    assert len(Path(download.value.path()).read_bytes().splitlines()) == EXPECTED["messages"] + 1


def test_what_comes_is_recorded_and_a_star_is_refused_with_the_hint(visitor: Callable[..., Person]):
    person = visitor().sign_in().open("recordings")
    person.button("Record…").click()
    dialog = person.dialog()
    dialog.get_by_label("Name").fill("The last minutes")
    dialog.get_by_label("From").select_option("-10m")
    dialog.get_by_label("Filters", exact=False).fill("module/v1/*/state")
    dialog.get_by_role("button", name="Record").click()
    expect(dialog.get_by_role("alert")).to_contain_text("+ for one level")
    dialog.get_by_label("Filters", exact=False).fill("module/v1/# ccu/#")
    dialog.get_by_role("button", name="Record").click()
    row = person.row("The last minutes")
    expect(row).to_contain_text("recording")
    row.get_by_role("button", name="Stop The last minutes").click()
    expect(row).to_contain_text("ready")


def test_a_replay_is_begun_steered_by_keyboard_and_ends_as_expected(visitor: Callable[..., Person]):
    person = visitor().sign_in().open("recordings")
    import_file(person, FILE, "To replay")
    person.row("To replay").get_by_role("button", name="Replay To replay").click()
    dialog = person.dialog()
    expect(dialog).to_contain_text("The environment in force is live")
    dialog.get_by_role("button", name="Switch to replay").click()
    dialog.get_by_label("Paused at first").check()
    dialog.locator("input[type=file]").set_input_files(EXPECT)
    dialog.get_by_role("button", name="Replay", exact=True).click()
    expect(person.dialog()).to_have_count(0)
    panel = person.page.locator(".replay")
    expect(panel).to_contain_text("paused")

    panel.get_by_role("button", name="Step").focus()
    person.page.keyboard.press("Enter")
    expect(panel.locator(".facts")).to_contain_text(re.compile(r"Sent\s*1"))
    panel.get_by_role("slider").focus()
    person.page.keyboard.press("End")
    expect(panel).to_contain_text("4 min 58 s of 4 min 59 s")
    person.page.keyboard.press("Home")
    expect(panel).to_contain_text("0 s of 4 min 59 s")
    panel.get_by_label("Speed").select_option("max")
    panel.get_by_role("button", name="Resume").click()
    expect(panel).to_contain_text("the end is the one expected")
    expect(panel).to_contain_text("Last replay")
    expect(panel.get_by_role("button", name="Pause")).to_have_count(0)


@pytest.mark.parametrize(("width", "colours"), [(1440, "light"), (390, "dark"), (1440, "dark"), (390, "light")])
def test_the_page_and_its_dialogs_fit_the_screen_and_have_no_barrier(
    visitor: Callable[..., Person], factory_stack: Stack, width: int, colours: str
):
    with factory_stack.sign_in() as rest:
        rest.post("/api/v1/factory/environment", json={"profile": "replay"}, timeout=90.0).raise_for_status()
        answer = rest.post("/api/v1/recordings/import?filename=looks.jsonl", content=FILE.read_bytes())
        recording = answer.json()["recording_id"]
        path = f"/api/v1/recordings/{recording}"
        wait_until(lambda: rest.get(path).json()["recording"]["state"] == "ready", "it is read")
        body = {"recording": recording, "paused": True}
        replay = wait_until(
            lambda: (found := rest.post("/api/v1/replays", json=body)).status_code == 202 and found.json(), "it begins"
        )
    person = visitor(width=width, colours=colours).sign_in().open("recordings")
    expect(person.page.locator(".replay")).to_contain_text("paused")
    person.screenshot(f"recordings-{width}-{colours}")
    assert person.page.evaluate(TOO_WIDE) == []
    assert person.accessibility() == []
    for name in ("Record…", "Import…"):
        person.button(name).click()
        expect(person.dialog()).to_be_visible()
        person.screenshot(f"recordings-{name[:-1].lower()}-{width}-{colours}")
        assert person.accessibility() == []
        person.page.keyboard.press("Escape")
        expect(person.dialog()).to_have_count(0)
    row = person.row("looks.jsonl").first
    for name in ("Replay looks.jsonl", "Show looks.jsonl"):
        row.get_by_role("button", name=name).click()
        expect(person.dialog()).to_be_visible()
        expect(person.page.get_by_text("Loading…")).to_have_count(0)
        person.screenshot(f"recordings-{name.split()[0].lower()}-{width}-{colours}")
        assert person.accessibility() == []
        person.page.keyboard.press("Escape")
        expect(person.dialog()).to_have_count(0)
    person.page.locator(".replay").get_by_role("button", name="Stop").click()
    expect(person.page.locator(".replay")).to_contain_text("stopped")
    assert replay["replay_id"]


def test_a_viewer_sees_recordings_and_may_not_make_any(visitor: Callable[..., Person], factory_stack: Stack):
    add_user(factory_stack, "vera", "vera-password-1", "viewer")
    person = visitor().sign_in("vera", "vera-password-1").open("recordings")
    expect(person.row("Monday")).to_contain_text("ready")
    for name in ("Record…", "Import…"):
        expect(person.button(name)).to_have_count(0)
    expect(person.page.get_by_role("button", name=re.compile("^(Replay|Delete) "))).to_have_count(0)
