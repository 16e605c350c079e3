"""Processes that run WebSocket clients: `python -m bench.frames`, with arguments as a line of JSON on standard input.

Every client gets the readings of the same few devices: a sample, so that noting costs little. One client, the last to
connect, runs in its own process and notes when each reading was shown. The frames of the others are read and discarded:
if a hundred clients decoded them, they would take CPU from what is measured.
"""

import asyncio
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from websockets.asyncio.client import ClientConnection, connect

_TS = re.compile(rb'"ts":(\d+)')
_OPEN_WITHIN_S = 30.0


class _Unread(asyncio.Protocol):
    """Takes what arrives and leaves it."""


async def _subscribed(url: str, devices: Sequence[str]) -> ClientConnection:
    socket = await connect(url, max_queue=None, open_timeout=_OPEN_WITHIN_S, compression=None)
    await socket.send(
        json.dumps({"action": "subscribe", "filters": {"types": ["sensor_data"], "esp_ids": list(devices)}})
    )
    while b'"subscribed"' not in await socket.recv(decode=False):
        pass
    return socket


async def _note(socket: ClientConnection, shown: list[tuple[int, float]]) -> None:
    while True:
        found = _TS.search(await socket.recv(decode=False))
        if found:
            shown.append((int(found[1]), time.time()))


async def _run(urls: list[str], devices: list[str], noting: bool) -> None:
    shown: list[tuple[int, float]] = []
    sockets = [await _subscribed(url, devices) for url in urls]
    if noting:
        task = asyncio.create_task(_note(sockets[0], shown))
    else:
        for socket in sockets:
            socket.transport.set_protocol(_Unread())
    print(json.dumps("ready"), flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    if noting:
        task.cancel()
    print(json.dumps(shown), flush=True)


class Watching:
    """The client at work that notes."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def shown(self) -> dict[int, float]:
        """End it; when the client was shown each ts, in seconds since 1970."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write("end\n")
        self._process.stdin.flush()
        first: dict[int, float] = {}
        for ts, at in json.loads(self._process.stdout.readline()):
            first.setdefault(ts, at)
        return first


@contextmanager
def watch(http_url: str, token: str, devices: Sequence[str], clients: int = 1) -> Iterator[Watching]:
    """So many subscribed clients; the last is the one that notes."""
    base = f"{http_url.replace('http', 'ws', 1)}/api/v1/ws/realtime"
    urls = [f"{base}/bench-{time.time_ns()}-{place}?rate=5000&token={token}" for place in range(clients)]
    with ExitStack() as stack:
        if clients > 1:
            stack.enter_context(_clients(urls[:-1], devices, noting=False))
        yield Watching(stack.enter_context(_clients(urls[-1:], devices, noting=True)))


@contextmanager
def _clients(urls: list[str], devices: Sequence[str], *, noting: bool) -> Iterator["subprocess.Popen[str]"]:
    with subprocess.Popen(
        [sys.executable, "-m", "bench.frames"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin
        assert process.stdout
        try:
            process.stdin.write(json.dumps([urls, list(devices), noting]) + "\n")
            process.stdin.flush()
            assert json.loads(process.stdout.readline()) == "ready"
            yield process
        finally:
            process.kill()


if __name__ == "__main__":
    asyncio.run(_run(*json.loads(sys.stdin.readline())))
