"""Sign-in at an OpenID Connect issuer: a person in Chromium, a whole stack, and `oidc-provider` as the issuer."""

import os
import re
import select
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from browser import HOST, Person
from harness import ROOT, Stack, wait_until
from playwright.sync_api import Browser, expect

SETTINGS = {
    "KAISER_OIDC_AUDIENCE": "kaiser-api",
    "KAISER_OIDC_CLIENT_ID": "kaiser-console",
    "KAISER_OIDC_NAME": "Farm ID",
    "KAISER_OIDC_ROLES": '{"fleet-admins":"admin"}',
    "KAISER_LOGIN_PER_ADDRESS": "1000",
}


class Issuer:
    """`oidc-provider` in a process of its own."""

    def __init__(self, folder: Path, port: int, home: str) -> None:
        program = Path(__file__).parents[1] / "support" / "oidc_issuer.mjs"
        self._command = ["node", str(program), str(folder), str(port), home]
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        readable, _, _ = select.select([self._process.stdout], [], [], 120)
        assert readable, "the issuer did not start within 120 s"
        while self._process.stdout.readline() != "ready\n":
            assert self._process.poll() is None, "the issuer ended"

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(60)
            self._process = None


@pytest.fixture(scope="module")
def issuer_folder(missing: Callable[..., Any]) -> Path:
    folder = Path(os.environ.get("KAISER_TEST_OIDC", ROOT / ".venv" / "oidc"))
    if shutil.which("node") is None or not (folder / "node_modules" / "oidc-provider").is_dir():
        missing("oidc-provider", f"node, or oidc-provider in {folder}, is not installed")
    return folder


@pytest.fixture(scope="module")
def world(issuer_folder: Path, server_folder: Path, free_port: Callable[[], int]) -> Iterator[tuple[Stack, Issuer]]:
    """A stack and its issuer."""
    port = free_port()
    stack = Stack(server_folder / "stack-oidc", KAISER_OIDC_ISSUER=f"http://127.0.0.1:{port}", **SETTINGS)
    home = f"http://{HOST}:{stack.environment['KAISER_HTTP_PORT']}/"
    issuer = Issuer(issuer_folder, port, home)
    issuer.start()
    try:
        yield stack.start(), issuer
    finally:
        issuer.stop()
        stack.stop()
        stack.process.kill()
        stack.remove()


@pytest.fixture
def visitor(world: tuple[Stack, Issuer], browser: Browser) -> Iterator[Person]:
    """Somebody at the sign-in page, with no cookie of the issuer."""
    person = Person(browser, world[0])
    person.page.goto(f"{person.url}/#/devices")
    yield person
    person.leave()


def at_the_issuer(person: Person, name: str) -> None:
    """Sign in at the issuer's own pages, and consent there."""
    person.button("Sign in with Farm ID").click()
    person.page.locator("input[name=login]").fill(name)
    person.page.locator("input[name=password]").fill("anything")
    person.page.locator("button[type=submit]").click()
    person.page.get_by_role("button", name=re.compile("Continue")).click()


def session_of(person: Person) -> dict[str, Any]:
    return dict(person.page.evaluate("JSON.parse(sessionStorage.getItem('kaiser.session'))"))


def asked(stack: Stack, path: str, token: str) -> int:
    answer = httpx.get(f"{stack.addresses['http_url']}{path}", headers={"Authorization": f"Bearer {token}"}, timeout=30)
    return answer.status_code


def test_a_person_signs_in_at_the_issuer_works_with_the_role_of_the_claim_and_signs_out(
    visitor: Person, world: tuple[Stack, Issuer]
):
    stack, _ = world
    at_the_issuer(visitor, "grace")
    expect(visitor.page.get_by_role("heading", name="Devices", exact=True)).to_be_visible()
    expect(visitor.page.locator(".top-bar .badge").first).to_contain_text("live")
    assert "code=" not in visitor.page.url
    expect(visitor.page.get_by_role("navigation")).not_to_contain_text("Users")
    session = session_of(visitor)
    assert (session["user"], session["role"], session["external"]) == ("grace", "operator", True)
    assert asked(stack, "/api/v1/esp/devices", session["accessToken"]) == 200
    assert asked(stack, "/api/v1/auth/users", session["accessToken"]) == 403

    visitor.open("account")
    visitor.says("You signed in with Farm ID")
    visitor.page.get_by_label("Account: grace").click()
    visitor.button("Sign out").click()
    visitor.page.get_by_role("button", name=re.compile("Yes, sign me out")).click()
    expect(visitor.button("Sign in with Farm ID")).to_be_visible()
    wait_until(lambda: asked(stack, "/api/v1/esp/devices", session["accessToken"]) == 401, "the token has ended")
    assert visitor.page.evaluate("sessionStorage.length") == 0
    assert visitor.troubles == []

    with stack.sign_in() as rest:
        page = rest.get("/api/v1/auth/log").raise_for_status().json()["items"]
    entries = [(one["action"], one["actor"], one["detail"]) for one in page if one["actor"] == "grace"]
    assert entries == [("sign_out", "grace", ""), ("sign_in", "grace", "role operator, at the issuer")]


def test_a_session_is_renewed_by_the_issuer_and_ends_once_it_refuses(visitor: Person, world: tuple[Stack, Issuer]):
    stack, issuer = world
    at_the_issuer(visitor, "ada")
    expect(visitor.page.locator(".top-bar .badge").first).to_contain_text("live")
    before = session_of(visitor)
    assert before["role"] == "admin"
    url = f"{stack.addresses['http_url']}/api/v1/auth/oidc/refresh"
    renewed = httpx.post(url, json={"refresh_token": before["refreshToken"]}, timeout=30).raise_for_status().json()
    assert (renewed["username"], renewed["role"]) == ("ada", "admin")
    assert asked(stack, "/api/v1/auth/users", renewed["access_token"]) == 200

    issuer.stop()
    away = httpx.post(url, json={"refresh_token": renewed["refresh_token"]}, timeout=60)
    assert (away.status_code, away.headers["Retry-After"]) == (503, "5")
    issuer.start()  # its memory is empty now: it knows neither code nor token
    refused = httpx.post(url, json={"refresh_token": renewed["refresh_token"]}, timeout=60)
    assert (refused.status_code, refused.json()["code"]) == (401, 5410)


def test_somebody_without_a_role_is_shown_so_on_the_sign_in_page(visitor: Person):
    at_the_issuer(visitor, "nobody")
    visitor.says("The sign-in failed: the token of nobody grants no role in its claim roles")
    expect(visitor.button("Sign in with Farm ID")).to_be_visible()
    assert visitor.troubles == []


def test_a_cancelled_sign_in_is_shown_and_the_own_password_still_works(visitor: Person):
    visitor.button("Sign in with Farm ID").click()
    visitor.page.get_by_text("Cancel").click()
    visitor.says("The sign-in was cancelled.")
    visitor.sign_in()


def test_an_answer_that_this_tab_did_not_ask_for_signs_nobody_in(visitor: Person):
    visitor.page.goto(f"{visitor.url}/?code=stolen&state=anything")
    visitor.says("This sign-in was not begun in this tab.")
    assert visitor.page.evaluate("sessionStorage.length") == 0
    assert "code=" not in visitor.page.url
