"""Takes the pictures of the README from a running stack: `make screenshots` after `make demo`.

Each page is taken in light and in dark colours, as docs/pictures/NAME-COLOURS.png. Needs Chromium and Playwright.
"""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, get_args

from kaiser_stack import report
from kaiser_stack.errors import NotReadyError, SetupError
from kaiser_stack.settings import StackSettings, load
from playwright.sync_api import Locator, Page, expect, sync_playwright

from kaiser_demo import rest

Colours = Literal["light", "dark"]

_FOLDER = Path("docs/pictures")
_WIDTH, _HEIGHT = 1280, 800
_WITHIN_MS = 60_000
_SPAN_MS = 300_000
_BEDS = ("MOCK_BED_1", "MOCK_BED_2", "MOCK_BED_3")


def main() -> None:
    """Entry point. Exit status: 0 done, 1 the stack is not there, 2 something is to be installed."""
    try:
        for path in take(load(os.environ), _FOLDER):
            print(path)
    except (SetupError, NotReadyError) as error:
        print(f"kaiser: {error}", file=sys.stderr)
        sys.exit(2 if isinstance(error, SetupError) else 1)


def take(settings: StackSettings, folder: Path) -> Iterator[Path]:
    """Take each picture; its file. NotReadyError: no stack runs on these settings."""
    if not report.addresses_file(settings).exists():
        raise NotReadyError(f"no stack is ready on {settings.state_dir}: start it with `make run`, then `make demo`")
    folder.mkdir(parents=True, exist_ok=True)
    for colours in get_args(Colours):
        with _signed_in(settings, colours) as page:
            page.goto(f"{page.url.partition('#')[0]}#/overview")
            expect(page.locator("main")).to_contain_text("Climate east")
            yield _saved(page, folder / f"overview-{colours}.png")
            sensors = "/".join(f"{esp_id},34,soil_moisture," for esp_id in _BEDS)
            page.goto(f"{page.url.partition('#')[0]}#/explore/{_SPAN_MS}/{sensors}")
            lines = page.locator(".u-legend .u-series")
            expect(lines.nth(len(_BEDS))).to_be_visible()  # the first one is the time
            expect(page.locator(".marks li").first).to_be_visible()
            yield _saved(page.locator(".explored"), folder / f"explore-{colours}.png")


def _saved(shown: Page | Locator, path: Path) -> Path:
    shown.screenshot(path=path)
    return path


@contextmanager
def _signed_in(settings: StackSettings, colours: Colours) -> Iterator[Page]:
    """The console in a headless Chromium, signed in as the administrator."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        raise SetupError("chromium is not installed (Debian: chromium)")
    with rest.signed_in(settings) as session, sync_playwright() as playwright:
        options = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=program, args=options)
        context = browser.new_context(
            viewport={"width": _WIDTH, "height": _HEIGHT}, color_scheme=colours, reduced_motion="reduce"
        )
        context.set_default_timeout(_WITHIN_MS)
        expect.set_options(timeout=_WITHIN_MS)
        page = context.new_page()
        page.goto(f"{session.http_url}/#/overview")
        page.get_by_label("Name").fill(settings.admin_user)
        page.get_by_label("Password").fill(rest.password(settings))
        page.get_by_role("button", name="Sign in", exact=True).click()
        expect(page.locator(".top-bar .badge")).to_contain_text("live")
        yield page
        browser.close()


if __name__ == "__main__":
    main()
