"""A second run of what failed: alone, and only where it is little. CI asks for it after runs beside each other."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests import again

CACHE = ".pytest_cache/one"
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
    monkeypatch.setattr(sys, "argv", ["again.py", CACHE, "-p", "xdist.plugin"])
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # half of the time
    return tmp_path


def run(project: Path, source: str, cache: str = CACHE) -> None:
    (project / "test_it.py").write_text(source)
    command = [sys.executable, "-m", "pytest", "-q", "-o", f"cache_dir={cache}", "test_it.py"]
    subprocess.run(command, cwd=project, check=False, capture_output=True, timeout=60)


def test_what_passes_alone_is_named_and_no_other_test_runs(project, capfd):
    run(project, SOMETIMES)
    assert again.main() == 0
    assert capfd.readouterr().out.endswith("passed alone:\n  test_it.py::test_fails_the_first_time\n")
    assert (project / "passed").read_text() == "x"


def test_what_fails_twice_is_red(project):
    run(project, "def test_it(): assert False\n")
    assert again.main() == 1


def test_a_run_with_a_cache_of_its_own_changes_nothing_in_what_another_noted(project):
    run(project, SOMETIMES)
    run(project, "def test_passes(): assert False\ndef test_fails_the_first_time(): pass\n", cache=".pytest_cache")
    assert again.last_failed(project / CACHE) == ["test_it.py::test_fails_the_first_time"]


@pytest.mark.parametrize(("failing", "said"), [(0, "0 tests failed"), (11, "11 tests failed")])
def test_nothing_runs_again_where_none_or_many_failed(project, capfd, failing, said):
    run(project, "".join(f"def test_{number}(): assert {failing == 0}\n" for number in range(failing or 1)))
    assert again.main() == 1
    assert said in capfd.readouterr().err


def ci(folder: Path, *failing: str, containers: bool = True) -> subprocess.CompletedProcess[str]:
    """The part of .ci/run from the first runs to its end, with a `make` that prints how it was called.

    failing: the targets of `make` that fail, `test-again` with the cache behind it.
    """
    script = (Path(__file__).parents[1] / ".ci/run").read_text()
    stand_ins = f"""
        set -euo pipefail
        logs={folder}
        KAISER_TEST_REQUIRE=mosquitto
        unset CACHE
        container_ground() {{ {str(containers).lower()}; }}
        make() {{
            local called="$1${{CACHE:+ in $CACHE}}"
            echo "make $called"
            [[ "{"".join(f"<{each}>" for each in failing)}" != *"<$called>"* ]]
        }}
        {{ make test-clocks; }} > {folder}/test-clocks.log 2>&1 &
        clocks=$!
    """
    body = script[script.index("first_run() {") :]
    return subprocess.run(
        ["bash", "-c", stand_ins + body],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )


def test_ci_prints_each_first_run_with_its_end_and_the_containers_last(tmp_path: Path):
    """The output says whether the first run was green, or only the second one."""
    done = ci(tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "make test",
        "first run of make test: passed",
        "make test-clocks",
        "make test-browser in .pytest_cache/browser",
        "first run of make test-browser: passed",
        "make faults in .pytest_cache/faults",
        "first run of make faults FAULTS=short: passed",
        "make test-compose",
    ]


@pytest.mark.parametrize(
    ("failing", "named", "cache"),
    [
        ("test", "make test", ".pytest_cache"),
        ("test-browser in .pytest_cache/browser", "make test-browser", ".pytest_cache/browser"),
        ("faults in .pytest_cache/faults", "make faults FAULTS=short", ".pytest_cache/faults"),
    ],
)
def test_ci_runs_again_what_failed_beside_others_and_is_red_if_it_fails_alone(
    tmp_path: Path, failing: str, named: str, cache: str
):
    done = ci(tmp_path, failing)
    lines = done.stdout.splitlines()
    assert done.returncode == 0
    assert f"first run of {named}: FAILED" in lines
    assert lines[-2:] == [f"make test-again in {cache}", "make test-compose"]
    assert ci(tmp_path, failing, f"test-again in {cache}").returncode != 0


@pytest.mark.parametrize("failing", ["test-clocks", "test-compose"])
def test_ci_is_red_without_a_second_run_when_clocks_or_containers_fail(tmp_path: Path, failing: str):
    done = ci(tmp_path, failing)
    assert done.returncode != 0
    assert "test-again" not in done.stdout


def test_ci_says_that_there_is_no_docker_engine_before_the_last_summary(tmp_path: Path):
    done = ci(tmp_path, containers=False)
    assert done.returncode == 0
    assert "no Docker engine could be set up here" in done.stdout
    assert "test-compose" not in done.stdout
    assert done.stdout.splitlines()[-1] == "first run of make faults FAULTS=short: passed"
