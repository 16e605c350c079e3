"""The console's files: how they are served, and what they refer to."""

import re
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from kaiser_gateway.api import described
from kaiser_gateway.http import console_files, problems

FILES = sorted(path for path in console_files.FOLDER.rglob("*") if path.is_file())
OWN = [path for path in FILES if "vendor" not in path.parts]
MODULES = [path for path in OWN if path.suffix == ".js"]


def name_of(path: Path) -> str:
    return str(path.relative_to(console_files.FOLDER))


@pytest.fixture
async def http():
    app = FastAPI(docs_url=None)
    problems.install(app)
    app.router.routes.extend(console_files.routes())
    app.include_router(described.router(app.openapi))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://console") as client:
        yield client


async def test_the_page_is_served_at_the_root_and_may_run_only_what_comes_with_it(http):
    page = await http.get("/")
    assert page.status_code == 200
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    policy = dict(part.split(" ", 1) for part in page.headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert {name: policy[name] for name in ("script-src", "style-src", "connect-src", "frame-ancestors")} == {
        "script-src": "'self'",
        "style-src": "'self'",
        "connect-src": "'self'",
        "frame-ancestors": "'none'",
    }
    assert page.headers["X-Content-Type-Options"] == "nosniff"


async def test_our_files_are_asked_for_each_time_and_an_unchanged_one_is_not_sent_again(http):
    first = await http.get("/console/main.js")
    assert first.headers["Content-Type"].startswith("text/javascript")
    assert first.headers["Cache-Control"] == "no-cache"
    again = await http.get("/console/main.js", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")


async def test_the_page_of_the_api_needs_no_other_host(http):
    page = await http.get("/api/docs")
    wanted = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(wanted) == 3
    for path in wanted:
        assert path.startswith("/console/"), path
        assert (await http.get(path)).status_code == 200


async def test_vendored_files_are_kept_and_served_as_scripts(http):
    answer = await http.get("/console/vendor/preact-11.2.0/preact.mjs")
    assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert answer.headers["Content-Type"].startswith("text/javascript")


@pytest.mark.parametrize("path", ["/console/none.js", "/console/../app.py", "/console/%2e%2e/app.py", "/console/"])
async def test_what_is_no_file_of_the_console_is_a_problem_document(http, path):
    answer = await http.get(path)
    assert answer.status_code == 404
    assert answer.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize("module", MODULES, ids=name_of)
def test_a_module_imports_only_files_that_are_there(module):
    for target in re.findall(r'^(?:import|export) .* from "([^"]+)";', module.read_text(), re.MULTILINE):
        assert (module.parent / target).is_file(), target


@pytest.mark.parametrize("path", OWN, ids=name_of)
def test_no_file_of_ours_refers_to_another_host_or_writes_markup_from_data(path):
    text = path.read_text().replace("http://www.w3.org/2000/svg", "")
    assert not re.findall(r"https?://|//cdn", text)
    assert not re.findall(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function|javascript:", text
    )


def test_every_vendored_library_brings_its_licence():
    folders = [path for path in (console_files.FOLDER / "vendor").iterdir() if path.is_dir()]
    assert [name_of(folder) for folder in folders if not (folder / "LICENSE").is_file()] == []
    assert len(folders) == 4


def test_a_button_keeps_the_focus_while_it_is_busy():
    """A disabled one loses it: ui/button.js and the button of a form do nothing in place of that."""
    off = [name_of(path) for path in MODULES if re.search(r"\sdisabled=\$\{[^}]*isBusy", path.read_text())]
    assert off == []
