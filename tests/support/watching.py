"""Built-in conditions as an operator sees them: the alarm, the line of the overview and its link, and the end.

Nothing here imports Kaiser: each test states its condition as docs/alarms.md does.
"""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import httpx
from browser import Person
from harness import Stack, wait_until
from playwright.sync_api import Browser, expect

_SLOWER = 10
"""How many times slower than a quiet machine the machine of a test may be."""
_BY_PAGE_MS = 3000
"""From the frame to the page, by the page's own clock."""


class Condition(NamedTuple):
    """message: a pattern of the alarm's text. named: its line on the overview. row: its text in the list of alarms.
    within_s: the time in which Kaiser reports that it began, and that it ended."""

    kind: str
    source: str
    severity: str
    message: str
    named: str
    row: str
    within_s: float

    def alarms(self, rest: httpx.Client) -> list[dict[str, Any]]:
        """Its alarms, those of the past too; none while nobody answers."""
        try:
            answer = rest.get("/api/v1/alarms", params={"kind": self.kind, "shown": "all"})
        except httpx.TransportError:  # without NATS the gateway may have ended, and is started again
            return []
        items = answer.json()["items"] if answer.is_success else []
        return [one for one in items if one["source"] == self.source]

    def becomes(self, rest: httpx.Client, state: str, since: float) -> dict[str, Any]:
        """Its one alarm, once it is in a state: within the documented time of `since` (monotonic)."""
        left_s = max(1.0, _SLOWER * self.within_s - (time.monotonic() - since))

        def found() -> list[dict[str, Any]]:
            return [one for one in self.alarms(rest) if one["state"] == state]

        [alarm] = wait_until(found, f"{self.kind} of {self.source} is {state}", left_s)
        assert alarm["severity"] == self.severity
        assert re.search(self.message, alarm["message"]), alarm["message"]
        return dict(alarm)


def steps_of(rest: httpx.Client, alarm: dict[str, Any]) -> list[str]:
    """The steps of an alarm, in order."""
    found = rest.get(f"/api/v1/alarms/{alarm['alarm_id']}").raise_for_status().json()
    return [step["what"] for step in found["steps"]]


class Onlooker:
    """Somebody who looks at the overview. The page's clock stands still except for the time in which it must show a
    frame, so the page is not helped by its look every half minute."""

    def __init__(self, person: Person, frames: list[dict[str, Any]]) -> None:
        self._person = person
        self._frames = frames

    def look(self) -> None:
        """Open the overview, and stop the clock."""
        self._person.open("overview")
        expect(self._person.page.locator(".truth")).to_be_visible()
        self._person.page.clock.pause_at(self._person.page.evaluate("Date.now()") / 1000 + 1)

    def sees(self, condition: Condition, alarm: dict[str, Any]) -> None:
        """The frame of an alarm comes, and the overview names its condition."""
        self._frame(alarm, "raised")
        expect(self._person.page.locator(".truth")).to_contain_text(condition.named)

    def reaches(self, condition: Condition) -> None:
        """One click on the line leads to the alarm, in the list of its kind alone; then back to the overview."""
        page = self._person.page
        page.clock.resume()
        page.locator(".truth a").filter(has_text=condition.named).click()
        expect(self._person.row(condition.row)).to_be_visible()
        assert page.evaluate("location.hash") == f"#/alarms/kind={condition.kind}"
        self.look()

    def misses(self, condition: Condition, alarm: dict[str, Any], step: str) -> None:
        """The frame of an alarm's end comes, and the overview no longer names its condition."""
        self._frame(alarm, step)
        expect(self._person.page.locator(".truth")).not_to_contain_text(condition.named)

    def _frame(self, alarm: dict[str, Any], step: str) -> None:
        wanted = {"alarm_id": alarm["alarm_id"], "what": step}

        def came() -> bool:
            self._person.page.title()  # frames come while the page is asked
            return any(wanted.items() <= frame.get("data", {}).items() for frame in self._frames)

        wait_until(came, f"a frame says that {alarm['kind']} is {step}")
        self._person.page.clock.run_for(_BY_PAGE_MS)


@contextmanager
def onlooker(browser: Browser, stack: Stack) -> Iterator[Onlooker]:
    """Somebody at the overview of a stack; fails if the page had an error."""
    person = Person(browser, stack)
    frames = person.frames()
    person.page.clock.install()
    found = Onlooker(person.sign_in(), frames)
    found.look()
    yield found
    assert person.troubles == []
    person.leave()


def overview_has(rest: httpx.Client, alarm: dict[str, Any]) -> bool:
    """Whether the overview's answer counts the kind of an alarm, and has the alarm."""
    overview = rest.get("/api/v1/overview").raise_for_status().json()
    has = alarm["alarm_id"] in [one["alarm_id"] for one in overview["alarms"]]
    assert has == (alarm["kind"] in overview["alarm_kinds"])
    return has
