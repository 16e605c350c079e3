"""A second run of what failed: alone, and only where it is little."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests import again

SOMETIMES = """
from pathlib import Path

def test_fails_the_first_time():
    mark = Path(__file__).with_name("mark")
    there = mark.exists()
    mark.touch()
    assert there

def test_passes():
    Path(__file__).with_name("passed").write_text(Path(__file__).with_name("passed").read_text() + "x")
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "passed").write_text("")
    monkeypatch.setattr(again, "ROOT", tmp_path)
    monkeypatch.setattr(sys, "argv", ["again.py", "-p", "xdist.plugin"])
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # half of the time
    return tmp_path


def run(project: Path, source: str) -> None:
    (project / "test_it.py").write_text(source)
    command = [sys.executable, "-m", "pytest", "-q", "test_it.py"]
    subprocess.run(command, cwd=project, check=False, capture_output=True, timeout=60)


def test_what_passes_alone_is_named_and_no_other_test_runs(project, capfd):
    run(project, SOMETIMES)
    assert again.main() == 0
    assert capfd.readouterr().out.endswith("passed alone:\n  test_it.py::test_fails_the_first_time\n")
    assert (project / "passed").read_text() == "x"


def test_what_fails_twice_is_red(project):
    run(project, "def test_it(): assert False\n")
    assert again.main() == 1


@pytest.mark.parametrize(("failing", "said"), [(0, "0 tests failed"), (11, "11 tests failed")])
def test_nothing_runs_again_where_none_or_many_failed(project, capfd, failing, said):
    run(project, "".join(f"def test_{number}(): assert {failing == 0}\n" for number in range(failing or 1)))
    assert again.main() == 1
    assert said in capfd.readouterr().err
