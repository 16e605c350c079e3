"""One set of containers for the tests of this folder; skipped with the reason where no engine answers."""

import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest
from compose_stack import ComposeStack
from harness import ROOT


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    report = yield
    if report.failed:
        for name, value in getattr(item, "funcargs", {}).items():
            if isinstance(value, ComposeStack):
                report.sections.append((f"logs of {name}", value.logs()))
    return report


@pytest.fixture(scope="session")
def engine(missing: Callable[[str, str], NoReturn]) -> None:
    """A Docker engine with compose and the images that it needs; `make test-compose` asks for it."""
    if not os.environ.get("KAISER_TEST_CONTAINERS"):
        pytest.skip("containers take minutes and memory: `make test-compose` runs these")
    if shutil.which("docker") is None:
        missing("docker", "docker is not installed")
    for asked, reason in (
        (("info",), "no Docker engine answers"),
        (("compose", "version"), "docker has no compose"),
    ):
        if _fails("docker", *asked):
            missing("docker", reason)
    listed = subprocess.run(
        ["docker", "compose", "config", "--images"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    bases = {image for image in listed.stdout.split() if not image.startswith("kaiser/")}
    for image in sorted(bases):
        if _fails("docker", "image", "inspect", image) and _fails("docker", "pull", "--quiet", image):
            missing("docker", f"the image {image} is neither here nor to be had")


@pytest.fixture(scope="session")
def stack(engine: None, free_port: Callable[[], int]) -> Iterator[ComposeStack]:
    """Everything of compose.yaml."""
    folder = Path(tempfile.mkdtemp(prefix="kaiser-compose-"))
    stack = ComposeStack(folder, f"kaiser-test-{secrets.token_hex(3)}", free_port)
    try:
        yield stack.start()
    finally:
        stack.end()
        shutil.rmtree(folder, ignore_errors=True)


def _fails(*command: str) -> bool:
    try:
        return subprocess.run(command, capture_output=True, timeout=120, check=False).returncode != 0
    except subprocess.TimeoutExpired:
        return True


def pytest_collection_modifyitems(items: list[Any]) -> None:
    """Images are built first: that takes its time."""
    for item in items:
        if "compose" in str(item.path) and "stack" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.timeout(1500))
