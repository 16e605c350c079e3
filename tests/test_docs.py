"""The documentation is kept true: settings and links."""

import importlib
import re
from pathlib import Path

import pytest
from kaiser_common.runtime.known_settings import KNOWN
from kaiser_common.runtime.settings import CommonSettings

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
TESTS = {
    name
    for folder in (ROOT / "tests", *ROOT.glob("*/*/tests"))
    for path in folder.rglob("test_*.py")
    for name in [path.stem, *re.findall(r"^(?:async )?def (test_\w+)", path.read_text(), re.MULTILINE)]
}
SETTINGS = sorted(path.parent.name for path in ROOT.glob("services/*/src/*/settings.py"))


def settings_of(package: str) -> set[str]:
    module = importlib.import_module(f"{package}.settings")
    classes = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, CommonSettings) and value.__module__ == module.__name__
    ]
    return {f"KAISER_{name.upper()}" for one in classes for name in one.model_fields}


@pytest.mark.parametrize("package", ["kaiser_common.runtime", *SETTINGS])
def test_every_setting_is_documented(package):
    text = "".join(page.read_text() for page in PAGES)
    undocumented = {name for name in settings_of(package) if not re.search(rf"`{name}`", text)}
    assert undocumented == set()


def test_a_program_knows_the_settings_of_all_others_and_of_the_tools_and_no_other_name():
    documented = {name for page in PAGES for name in re.findall(r"\bKAISER_[A-Z0-9_]*[A-Z0-9]\b", page.read_text())}
    assert {name for name in documented if not name.startswith("KAISER_TEST_")} == KNOWN
    assert {name for package in ("kaiser_common.runtime", *SETTINGS) for name in settings_of(package)} <= KNOWN


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_to_a_file_leads_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_test_and_file_of_tests_that_a_page_names_exists(page):
    text = page.read_text()
    for name in re.findall(r"`(test_\w+)`", text):
        assert name in TESTS, name
    for path in re.findall(r"`((?:tests|services|libs|tools)/[\w./-]+\.\w+)`", text):
        assert (ROOT / path).exists(), path


def test_the_index_leads_to_every_page():
    linked = set(re.findall(r"\]\(([\w-]+\.md)", (ROOT / "docs/index.md").read_text()))
    assert {page.name for page in (ROOT / "docs").glob("*.md")} - linked == {"index.md"}


def test_the_readme_leads_to_each_way_into_the_documentation():
    headings = re.findall(r"^## (.+)$", (ROOT / "docs/index.md").read_text(), re.MULTILINE)
    anchors = {heading.lower().replace(" ", "-") for heading in headings}
    assert set(re.findall(r"\(docs/index\.md#([\w-]+)\)", (ROOT / "README.md").read_text())) == anchors


def test_every_picture_of_the_readme_is_there():
    text = (ROOT / "README.md").read_text()
    pictures = re.findall(r'(?:srcset|src)="([^"]+)"|!\[[^\]]*\]\(([^)]+)\)', text)
    assert len(pictures) == 5
    assert all((ROOT / (one or other)).is_file() for one, other in pictures)


MAKE_AND_WITHOUT = re.compile(r"^\|[^|\n]*\| `make (\w+)[^`]*`[^|\n]*\| (.+) \|$", re.MULTILINE)


def test_each_first_step_in_containers_has_its_command_without_make():
    page, makefile = (ROOT / "docs/containers.md").read_text(), (ROOT / "Makefile").read_text()
    without = dict(MAKE_AND_WITHOUT.findall(page))
    assert without.keys() == {"up", "device", "certs", "secrets", "down"}
    [path] = re.findall(r"^DEPLOY = PYTHONPATH=(\S+) ", makefile, re.MULTILINE)
    assert f"`export PYTHONPATH={path}`" in page
    for target, command in without.items():
        [recipe] = re.findall(rf"^{target}:.*\n((?:\t.*\n)+)", makefile, re.MULTILINE)
        assert ("$(DEPLOY)" in recipe) == (f"python3 -m kaiser_deploy {target}" in command), target
        for service in re.findall(r"docker compose kill --signal HUP ([a-z ]+?) [>2]", recipe):
            assert service in command, target
