"""A test run that is killed leaves neither a process nor data behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import own_children
import pytest
from harness import wait_until

RUN = """
import os, subprocess, sys, tempfile, time, own_children
own_children.guard("OF_A_TEST", 0.5)
print(tempfile.mkdtemp(prefix=own_children.folder_prefix()))
child = [sys.executable, "-c", "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(600)"]
subprocess.Popen(child if sys.argv[1] == "stubborn" else ["sleep", "600"], start_new_session=True)
print(os.environ["OF_A_TEST"], flush=True)
time.sleep(600)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")
@pytest.mark.parametrize("kind", ["obedient", "stubborn"])
def test_what_a_killed_run_has_started_ends(kind: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(own_children.__file__).parent)}
    command = [sys.executable, "-c", RUN, kind]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as run:
        assert run.stdout
        folder = Path(run.stdout.readline().strip())
        mark = f"OF_A_TEST={run.stdout.readline().strip()}"
        wait_until(lambda: own_children.marked(mark), "its child runs")
        time.sleep(0.3)
        assert own_children.marked(mark), "its child runs on"
        own_children.remove_folders()
        assert folder.exists(), "its owner lives"
        run.send_signal(signal.SIGKILL)
    wait_until(lambda: not own_children.marked(mark), "its child has ended")
    wait_until(lambda: not folder.exists(), "its folder is removed")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's PostgreSQL keeps its data elsewhere")
def test_the_data_that_a_killed_run_has_elsewhere_is_removed_and_no_other(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setattr(own_children, "_ELSEWHERE", tmp_path / "var")
    monkeypatch.setattr(own_children.tempfile, "gettempdir", lambda: str(tmp_path))
    folders = [tmp_path / f"kaiser-test-{os.getpid()}-0-dead", tmp_path / f"{own_children.folder_prefix()}alive"]
    kept = []
    for folder in folders:
        data = tmp_path / "var" / f"data-{folder.name[-4:]}"
        data.mkdir(parents=True)
        (folder / "stack-1" / "postgres").mkdir(parents=True)
        (folder / "stack-1" / "postgres" / "elsewhere").symlink_to(data)
        kept.append(data)
    own_children.remove_folders()
    assert [path.exists() for path in (*folders, *kept)] == [False, True, False, True]
