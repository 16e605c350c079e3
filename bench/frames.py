"""A process of WebSocket clients that notes when each reading was shown: `python -m bench.frames`, arguments as JSON.

Every client gets the readings of the same few devices: a sample, so that noting costs little.
"""

import asyncio
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from websockets.asyncio.client import connect

_TS = re.compile(rb'"ts":(\d+)')
_OPEN_WITHIN_S = 30.0


async def _watch(url: str, devices: Sequence[str], place: int, shown: list[tuple[int, float]] | None) -> None:
    async with connect(f"{url}&n={place}", max_queue=None, open_timeout=_OPEN_WITHIN_S, compression=None) as socket:
        await socket.send(
            json.dumps({"action": "subscribe", "filters": {"types": ["sensor_data"], "esp_ids": list(devices)}})
        )
        while b'"subscribed"' not in await socket.recv(decode=False):
            pass
        print(json.dumps("ready"), flush=True)
        async for frame in socket:
            if shown is not None:
                found = _TS.search(bytes(frame) if not isinstance(frame, str) else frame.encode())
                if found:
                    shown.append((int(found[1]), time.time()))


async def _run(urls: list[str], devices: list[str]) -> None:
    shown: list[tuple[int, float]] = []
    watching = [
        asyncio.create_task(_watch(url, devices, place, None if place else shown)) for place, url in enumerate(urls)
    ]
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    for task in watching:
        task.cancel()
    print(json.dumps(shown), flush=True)


class Watching:
    """The clients at work."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def shown(self) -> dict[int, float]:
        """End it; when the first client was shown each ts, in seconds since 1970."""
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
    """So many subscribed clients; the first is the one that notes."""
    base = f"{http_url.replace('http', 'ws', 1)}/api/v1/ws/realtime"
    urls = [f"{base}/bench-{time.time_ns()}-{place}?rate=5000&token={token}" for place in range(clients)]
    with subprocess.Popen(
        [sys.executable, "-m", "bench.frames"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin
        assert process.stdout
        try:
            process.stdin.write(json.dumps([urls, list(devices)]) + "\n")
            process.stdin.flush()
            for _ in urls:
                assert json.loads(process.stdout.readline()) == "ready"
            yield Watching(process)
        finally:
            process.kill()


if __name__ == "__main__":
    asyncio.run(_run(*json.loads(sys.stdin.readline())))
