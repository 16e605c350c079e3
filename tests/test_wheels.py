"""The wheels that people install: licence, description, and imports of what they declare alone."""

import ast
import re
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
PUBLISHED = {"libs/common": "contract", "libs/client": "", "tools/cli": ""}
"""Folder, and the part that a client imports of it; "": all."""
MODULE_OF = {"paho-mqtt": "paho"}


def project(folder: str) -> dict[str, Any]:
    return dict(tomllib.loads((ROOT / folder / "pyproject.toml").read_text())["project"])


def imported(path: Path) -> set[str]:
    """The first part of each name that a module imports."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    names = {each.name for node in nodes if isinstance(node, ast.Import) for each in node.names}
    names |= {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)}
    return {name.split(".")[0] for name in names}


def test_make_builds_each_of_them():
    [listed] = re.findall(r"^PUBLISHED = (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(listed.split()) == set(PUBLISHED)


@pytest.mark.parametrize("folder", PUBLISHED)
def test_each_has_the_licence_and_a_description(folder: str):
    metadata = project(folder)
    assert (metadata["license"], metadata["license-files"]) == ("Apache-2.0", ["LICENSE"])
    assert (ROOT / folder / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()
    assert (ROOT / folder / metadata["readme"]).read_text().startswith(f"# {metadata['name']}\n")
    to_the_builder = (ROOT / ".dockerignore").read_text().splitlines()
    place = folder if folder.startswith("tools/") else "libs/*"
    assert {f"!{place}/LICENSE", f"!{place}/README.md"} <= set(to_the_builder), "images build the wheels too"


@pytest.mark.parametrize("folder", PUBLISHED)
def test_each_imports_what_it_declares_and_nothing_else(folder: str):
    [package] = (ROOT / folder / "src").glob("kaiser_*")
    declared = [re.split(r"[\[<>=~ ;]", each)[0] for each in project(folder)["dependencies"]]
    allowed = {MODULE_OF.get(name, name.replace("-", "_")) for name in declared} | {package.name}
    allowed |= {"pydantic_core"} if "pydantic" in allowed else set()
    found = {name for path in (package / PUBLISHED[folder]).rglob("*.py") for name in imported(path)}
    assert found - set(sys.stdlib_module_names) <= allowed
