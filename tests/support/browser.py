"""A person at the console: a headless Chromium that is signed in and records the page's errors."""

import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import psycopg
from argon2 import PasswordHasher
from harness import ROOT, Stack
from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, expect, sync_playwright

SCREENSHOTS = ROOT / ".kaiser-screenshots"
AXE = Path(__file__).parent / "vendor" / "axe-core-4.14.1" / "axe.min.js"
HOST = "kaiser.test"
WITHIN_MS = 90_000
_LOADED_WITHIN_MS = 180_000
"""The page is more than a hundred files."""
_TOLD_BY_THE_PAGE = ("Failed to load resource", "WebSocket connection")
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]


def program() -> str | None:
    """Where Chromium is, if it is installed: rather its headless shell, which takes a third of the processor's time."""
    return next(filter(None, map(shutil.which, ("chromium-headless-shell", "chromium", "chromium-browser"))), None)


@contextmanager
def chromium() -> Iterator[Browser]:
    """A headless Chromium. Root has no sandbox; the page is ours.

    The page is at a name and not at localhost: a browser trusts that more than the plain HTTP of a house.
    """
    expect.set_options(timeout=WITHIN_MS)
    arguments = [f"--host-resolver-rules=MAP {HOST} 127.0.0.1", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program(), args=arguments)
        yield browser
        browser.close()


_VIOLATIONS = """tags => axe.run(document, { runOnly: tags, resultTypes: ["violations"] })
    .then(({ violations }) => violations)"""
"""Nothing about the elements that are as they should be: to gather and to send that took most of the time."""
_COUNT = """() => {
    window.counted = { clicks: 0, fields: new Set() };
    addEventListener("click", (event) => { window.counted.clicks += event.isTrusted && event.detail ? 1 : 0; }, true);
    addEventListener("input", ({ target }) => window.counted.fields.add(target), true);
}"""
"""Counted by the page itself: presses of the mouse, and fields into which something was typed."""


_GO = """async (address) => {
    const before = location.href;
    const drawn = new Promise((done) => addEventListener("hashchange", done, { once: true }));
    location.hash = address;
    if (location.href !== before) await drawn;
}"""
"""Opens a page of the console, which is drawn before this listener is called; the same address opens nothing anew."""


class Person:
    """Somebody at the console of a stack. `troubles`: errors of the page, and what the content policy refused; `lost`:
    requests without an answer."""

    def __init__(
        self,
        browser: Browser,
        stack: Stack,
        width: int = 1440,
        colours: Literal["light", "dark"] = "light",
        language: str = "en-GB",
    ) -> None:
        self.stack = stack
        self.url = stack.addresses["http_url"].replace("127.0.0.1", HOST)
        self._context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=colours, reduced_motion="reduce", locale=language
        )
        self._context.set_default_timeout(WITHIN_MS)
        self.page: Page = self._context.new_page()
        self.troubles: list[str] = []
        self.page.on("pageerror", lambda error: self.troubles.append(str(error)))
        self.page.on("console", self._note)
        self.lost: list[str] = []
        self.page.on("requestfailed", lambda request: self.lost.append(f"{request.url} {request.failure}"))

    def _note(self, message: ConsoleMessage) -> None:
        if message.type == "error" and not any(text in message.text for text in _TOLD_BY_THE_PAGE):
            self.troubles.append(message.text)

    def frames(self) -> list[dict[str, Any]]:
        """The frames that the page's WebSocket gets; call it before it is opened. They come while the page is asked."""
        found: list[dict[str, Any]] = []
        self.page.on(
            "websocket", lambda socket: socket.on("framereceived", lambda frame: found.append(json.loads(frame)))
        )
        return found

    def leave(self) -> None:
        """Close the browser's window."""
        self._context.close()

    def sign_in(self, user: str = "admin", password: str | None = None) -> "Person":
        """Sign in, at the live log; returns once events come."""
        self.page.goto(f"{self.url}/#/log")
        expect(self.button("Sign in"), f"lost: {self.lost}").to_be_visible(timeout=_LOADED_WITHIN_MS)
        self.page.get_by_label("Name").fill(user)
        self.page.get_by_label("Password").fill(password or self.stack.password())
        self.button("Sign in").click()
        expect(self.page.locator(".top-bar .badge")).to_contain_text("live")
        return self

    def begin_again(self) -> None:
        """Forget what a page has shown, kept, and what was put in its way; returns at the live log once events come."""
        self.page.unroute_all()
        self.page.evaluate("localStorage.clear()")
        self.lost.clear()
        self.page.goto(f"{self.url}/#/log")
        self.page.reload()
        expect(self.page.locator(".top-bar .badge")).to_contain_text("live", timeout=_LOADED_WITHIN_MS)

    def open(self, *parts: str) -> "Person":
        """Go to a page by its address; returns once its title is there, and no more that of the page before."""
        address = f"#/{'/'.join(parts)}"
        if self.page.url.partition("#")[0] == f"{self.url}/":
            self.page.evaluate(_GO, address)
        else:
            self.page.goto(f"{self.url}/{address}")
        expect(self.page.locator("h1")).to_be_visible()
        return self

    def button(self, name: str) -> Locator:
        """A button by what it says."""
        return self.page.get_by_role("button", name=name, exact=True)

    def row(self, text: str) -> Locator:
        """The row of a table that has this text."""
        return self.page.locator("tbody tr").filter(has_text=text)

    def dialog(self) -> Locator:
        """The dialog that is open."""
        return self.page.get_by_role("dialog")

    def says(self, text: str | re.Pattern[str]) -> None:
        """Wait until the page shows a text."""
        expect(self.page.locator("body")).to_contain_text(text)

    def count(self) -> None:
        """Begin to count clicks and fields for `counted`, until the page is loaded again."""
        self.page.evaluate(_COUNT)

    def counted(self) -> tuple[int, int]:
        """Clicks, and fields into which something was typed."""
        clicks, fields = self.page.evaluate("() => [counted.clicks, counted.fields.size]")
        return clicks, fields

    def screenshot(self, name: str) -> None:
        """Keep how the page looks, for somebody to look at."""
        SCREENSHOTS.mkdir(exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png")

    def accessibility(self) -> list[str]:
        """The violations of WCAG 2.2 AA that axe-core finds, contrast included."""
        if not self.page.evaluate("'axe' in window"):
            self.page.evaluate(AXE.read_text())
        violations = self.page.evaluate(_VIOLATIONS, RULES)
        return [_said(violation, node) for violation in violations for node in violation["nodes"]]


def _said(violation: dict[str, Any], node: dict[str, Any]) -> str:
    return f"{violation['id']}: {node['html'][:200]} {node.get('failureSummary', '')[:300]}"


def add_user(stack: Stack, name: str, password: str, role: str) -> None:
    """A user beside the administrator."""
    with psycopg.connect(stack.addresses["database_url"], connect_timeout=5) as connection:
        connection.execute(
            "INSERT INTO gateway.users (username, password_hash, role) VALUES (%s, %s, %s)"
            " ON CONFLICT (username) DO NOTHING",
            (name, PasswordHasher().hash(password), role),
        )
