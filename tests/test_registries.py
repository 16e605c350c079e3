"""No file under version control names the address of a package registry: `make lint` looks for them."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("requirements.lock", "aiomqtt==2.5.1 \\\n    --hash=sha256:00\n", 0),
        ("requirements.lock", "--index-url somewhere\naiomqtt==2.5.1\n", 1),
        ("README.md", "see https://" + "registry.npm" + "js.org/x", 1),
        ("README.md", "see https://docs.nats.io/", 0),
    ],
)
def test_the_address_of_a_registry_is_found(name: str, text: str, found: int, tmp_path: Path):
    path = tmp_path / name
    path.write_text(text)
    command = [sys.executable, ROOT / ".ci/registries.py", path]
    checked = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert (checked.returncode, len(checked.stderr.splitlines())) == (found, found)
