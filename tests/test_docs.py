"""The documentation is kept true: settings and links."""

import importlib
import re
from pathlib import Path

import pytest
from kaiser_common.runtime.settings import CommonSettings

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
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


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_to_a_file_leads_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target
