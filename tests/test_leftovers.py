"""A test run that is killed leaves no process behind."""

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
import os, subprocess, sys, time, own_children
own_children.guard("OF_A_TEST", 0.5)
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
        mark = f"OF_A_TEST={run.stdout.readline().strip()}"
        wait_until(lambda: own_children.marked(mark), "its child runs")
        time.sleep(0.3)
        assert own_children.marked(mark), "its child runs on"
        run.send_signal(signal.SIGKILL)
    wait_until(lambda: not own_children.marked(mark), "its child has ended")
