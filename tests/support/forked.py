"""Starts Kaiser's commands by forking a process that has imported them: a tenth of the processor time of a plain start.

`Popen(["kaiser-sensor"], …)` is `subprocess.Popen` for a command of Kaiser, named without its path. The process is a
child of the caller like any other, with the environment, folder, streams, session and umask that were asked for. It
differs from a plain start in two ways: modules are already imported, and /proc shows the fork server's command line. A
stack that was started by forking starts its services in the same way. `plain=True`, KAISER_TEST_FORK=0 and systems
other than Linux start a command as its users do.

Each process that starts commands has its own fork server, a process with one thread and no event loop, which ends when
the process it serves ends.
"""

import atexit
import contextlib
import ctypes
import functools
import gc
import importlib
import inspect
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

LEFT_OUT = "PYTEST_LEFT_OUT"
"""Names a command whose forks end at once, with success, because its work has been done."""
_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36
_LIBC = ctypes.CDLL(None)
_REQUEST_BYTES = 1 << 18
_STACK = "kaiser-stack"
_EXECUTE: Callable[..., None] = subprocess.Popen._execute_child  # type: ignore[attr-defined]
_OF_EACH_SERVICE = "kaiser_common"


@functools.cache
def commands() -> dict[str, str]:
    """The commands that Kaiser's packages install, each with `module:function`."""
    installed = entry_points(group="console_scripts")
    return {entry.name: entry.value for entry in installed if entry.name.startswith("kaiser-")}


class Popen(subprocess.Popen[Any]):
    """`subprocess.Popen`, which forks where the first argument is a command of Kaiser."""

    def __init__(self, args: Any, *arguments: Any, plain: bool = False, **options: Any) -> None:
        self._forks = not plain and sys.platform == "linux" and os.environ.get("KAISER_TEST_FORK") != "0"
        if isinstance(args, (list, tuple)) and str(args[0]) in commands():
            args = [str(Path(sys.executable).parent / args[0]), *args[1:]]
        super().__init__(args, *arguments, **options)

    def _execute_child(self, *arguments: Any) -> None:
        given = inspect.signature(_EXECUTE).bind(self, *arguments).arguments
        command = given["args"]
        if not self._forks or isinstance(command, str) or not _is_of_kaiser(command[0]):
            _EXECUTE(self, *arguments)
            return
        request = {
            "command": [os.fspath(word) for word in command],
            "environment": dict(os.environ if given["env"] is None else given["env"]),
            "folder": os.fspath(given["cwd"] or Path.cwd()),
            "umask": _umask(),
            "new_session": bool(given["start_new_session"]),
            "dies_by": _signal_of(given["preexec_fn"]),
            "parent": os.getpid(),
        }
        streams = (given["p2cread"], given["c2pwrite"], given["errwrite"])
        self.pid = _server().start(request, [own if own != -1 else number for number, own in enumerate(streams)])
        self._child_created = True
        pipes = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")
        self._close_pipe_fds(*(given[name] for name in pipes))  # type: ignore[attr-defined]


def run(command: list[str], *, timeout: float, check: bool = False, **options: Any) -> subprocess.CompletedProcess[str]:
    """As `subprocess.run` with text and captured output, for a command of Kaiser."""
    with Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options) as process:
        try:
            output, errors = process.communicate(timeout=timeout)
        except BaseException:
            process.kill()
            raise
    if check and process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command, output, errors)
    return subprocess.CompletedProcess(command, process.returncode, output, errors)


def _is_of_kaiser(program: Any) -> bool:
    path = Path(os.fspath(program))
    return path.name in commands() and path.parent == Path(sys.executable).parent


def _umask() -> int:
    value = os.umask(0o077)
    os.umask(value)
    return value


def _signal_of(tie: Callable[[], None] | None) -> int:
    """The signal by which kaiser_stack.process lets a child end when its parent does; 0 for none."""
    return int(inspect.getclosurevars(tie).nonlocals["number"]) if tie else 0


class _Server:
    """The caller's side of a fork server."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._one = threading.Lock()

    def start(self, request: dict[str, Any], streams: list[int]) -> int:
        """Id of the new process, which is this one's child."""
        with self._one:
            _LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
            try:
                socket.send_fds(self._connection, [json.dumps(request).encode()], streams)
                answer = json.loads(self._connection.recv(_REQUEST_BYTES) or '"the fork server has ended"')
            finally:
                _LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
        if not isinstance(answer, int):
            raise OSError(answer)
        return answer


_servers: dict[int, _Server] = {}
"""By the process that it serves: a fork does not use its parent's."""


def _server() -> _Server:
    found = _servers.get(os.getpid())
    if found is None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        program = [sys.executable, __file__, str(theirs.fileno())]
        subprocess.Popen(program, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
        theirs.close()
        found = _servers[os.getpid()] = _Server(ours)
    return found


def _server_of_a_fork() -> None:
    """Give this process, a fork that has imported everything, a server of its own, and have it start what it can."""
    parent = os.getpid()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if os.fork() == 0:
        ours.close()
        _LIBC.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        if os.getppid() == parent:
            _serve_and_carry_out(theirs)
        os._exit(0)
    theirs.close()
    _servers[parent] = _Server(ours)
    subprocess.Popen = Popen  # type: ignore[misc]


# The server's side


def _serve_and_carry_out(connection: socket.socket) -> None:
    """Fork a process for each request; return when the other side has ended."""
    asked = _serve(connection)
    if asked is None:
        return
    status = 1
    try:
        status = _carry_out(asked)
    finally:
        os._exit(status)


def _serve(connection: socket.socket) -> dict[str, Any] | None:
    """In the server: None when the other side has ended. In each process that it forks: what was asked for."""
    while True:
        data, streams, _, _ = socket.recv_fds(connection, _REQUEST_BYTES, 3)
        if not data:
            return None
        asked: dict[str, Any] = json.loads(data)
        try:
            _load(asked["command"][0])
        except BaseException:
            connection.send(json.dumps(traceback.format_exc()[-4000:]).encode())
            continue
        read, told = os.pipe()
        between = os.fork()
        if between == 0:
            pid = os.fork()
            if pid:
                os.write(told, str(pid).encode())
                os._exit(0)  # the grandchild becomes a child of the process that asked, which reaps orphans meanwhile
            for number, stream in enumerate(streams):
                os.dup2(stream, number)
            for number in (*streams, read, told, connection.fileno()):
                if number > 2:
                    os.close(number)
            return asked
        os.waitpid(between, 0)
        connection.send(os.read(read, 20))
        for number in (*streams, read, told):
            os.close(number)


def _carry_out(asked: dict[str, Any]) -> int:
    """Be the process that was asked for; its exit status."""
    while os.getppid() != asked["parent"]:
        if os.getppid() == 1:
            return 1
        time.sleep(0.0005)
    if asked["new_session"]:
        os.setsid()
    if asked["dies_by"]:
        _LIBC.prctl(_PR_SET_PDEATHSIG, asked["dies_by"], 0, 0, 0)
        if os.getppid() != asked["parent"]:
            return 1
    name = Path(asked["command"][0]).name
    _LIBC.prctl(_PR_SET_NAME, name.encode()[:15], 0, 0, 0)
    os.chdir(asked["folder"])
    os.umask(asked["umask"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    if os.environ.get(LEFT_OUT) == name:
        return 0
    time.tzset()
    sys.argv = asked["command"]
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    if name == _STACK:
        _server_of_a_fork()
    _leave_metrics_of_others(name)
    return _run(_main(name))


def _run(main: Callable[[], Any]) -> int:
    """Run a command to its end as Python would, but leave the memory to the system; its exit status."""
    status = 0
    try:
        main()
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
        status = 1
    with contextlib.suppress(BaseException):
        threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    return status


@functools.cache
def _load(program: str) -> None:
    """Import what a command needs; of the stack, what its services need too."""
    name = Path(program).name
    _main(name)
    if name == _STACK:
        for other in commands():
            _main(other)
    gc.collect()
    gc.freeze()


def _main(name: str) -> Callable[[], Any]:
    module, _, function = commands()[name].partition(":")
    found: Callable[[], Any] = getattr(importlib.import_module(module), function)
    return found


def _leave_metrics_of_others(name: str) -> None:
    """A service's page of metrics has its own and those of kaiser_common, also where others were imported too."""
    if "prometheus_client" not in sys.modules:
        return
    from prometheus_client import REGISTRY
    from prometheus_client.metrics import MetricWrapperBase

    kept: set[int] = set()
    others: dict[int, Any] = {}
    own = commands()[name].partition(".")[0]
    for module in [found for key, found in sys.modules.items() if key.startswith("kaiser_")]:
        metrics = {id(value): value for value in vars(module).values() if isinstance(value, MetricWrapperBase)}
        if module.__name__.partition(".")[0] in (own, _OF_EACH_SERVICE):
            kept |= metrics.keys()
        else:
            others |= metrics
    for key in others.keys() - kept:
        REGISTRY.unregister(others[key])


if __name__ == "__main__":
    sys.modules["forked"] = sys.modules["__main__"]
    _serve_and_carry_out(socket.socket(fileno=int(sys.argv[1])))
