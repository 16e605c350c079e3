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


@pytest.mark.parametrize(("command", "ended", "status"), [("true", "passed", 0), ("false", "FAILED", 1)])
def test_ci_says_on_a_line_of_its_own_how_the_first_run_ended(command: str, ended: str, status: int):
    """The output says whether the first run was green, or only the second one."""
    script = (Path(__file__).parents[1] / ".ci/run").read_text()
    begin = script.index("first_run() {")
    function = script[begin : script.index("\n}\n", begin) + 3]
    done = subprocess.run(
        ["bash", "-c", f"{function}first_run {command} x"], check=False, capture_output=True, text=True, timeout=60
    )
    assert (done.stdout, done.returncode) == (f"first run of {command} x: {ended}\n", status)
    repeated = [line for line in script.splitlines() if line.endswith("make test-again")]
    assert len(repeated) == 3
    assert all(line.startswith("first_run make ") for line in repeated)
