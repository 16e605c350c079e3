"""WebSocket clients that need almost no CPU: raw sockets that count frames, and can pass each payload to a callback."""

import asyncio
import struct
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

_TEXT = 0x81
_PING = 0x89


class Reader(asyncio.Protocol):
    """Counts the text frames that a server sends; `on_frame` gets each payload if given."""

    def __init__(self, url: str, on_frame: Callable[[memoryview], None] | None = None) -> None:
        self._url = urlsplit(url)
        self._on_frame = on_frame
        self._buffer = bytearray()
        self.frames = 0
        self.open = asyncio.get_running_loop().create_future()
        self.closed = False
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.transport.write(
            f"GET {self._url.path}?{self._url.query} HTTP/1.1\r\nHost: {self._url.netloc}\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
            "Sec-WebSocket-Version: 13\r\n\r\n".encode()
        )

    def say(self, text: str) -> None:
        """Send a masked text frame (with a mask of zeros)."""
        data = text.encode()
        length = bytes([0x80 | len(data)]) if len(data) < 126 else b"\xfe" + struct.pack("!H", len(data))
        self.transport.write(b"\x81" + length + b"\0\0\0\0" + data)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self.open.done():
            head, found, rest = bytes(self._buffer).partition(b"\r\n\r\n")
            if not found:
                return
            assert b" 101 " in head.split(b"\r\n")[0], head
            self._buffer = bytearray(rest)
            self.open.set_result(None)
        self._take_frames()

    def _take_frames(self) -> None:
        view = self._buffer
        at, end = 0, len(view)
        while end - at >= 2:
            length, body = view[at + 1] & 0x7F, at + 2
            if length == 126:
                if end - at < 4:
                    break
                length, body = int.from_bytes(view[at + 2 : at + 4], "big"), at + 4
            elif length == 127:
                if end - at < 10:
                    break
                length, body = int.from_bytes(view[at + 2 : at + 10], "big"), at + 10
            if end < body + length:
                break
            if view[at] == _TEXT:
                self.frames += 1
                if self._on_frame is not None:
                    self._on_frame(memoryview(bytes(view[body : body + length])))
            elif view[at] == _PING:
                self.transport.write(b"\x8a" + bytes([0x80 | length]) + b"\0\0\0\0" + view[body : body + length])
            at = body + length
        del self._buffer[:at]

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        if not self.open.done():
            self.open.set_exception(ConnectionError("closed before it was open"))


async def open_readers(urls: list[str], on_frame: Callable[[memoryview], None] | None = None) -> list[Reader]:
    """Connected readers, fifty at a time."""
    loop = asyncio.get_running_loop()
    readers: list[Reader] = []
    for start in range(0, len(urls), 50):
        part = []
        for url in urls[start : start + 50]:
            address = urlsplit(url)
            _, reader = await loop.create_connection(
                partial(Reader, url, on_frame), address.hostname or "", address.port or 80
            )
            part.append(reader)
        await asyncio.wait_for(asyncio.gather(*(reader.open for reader in part)), 60)
        readers += part
    return readers


def cpu_s(pid: int) -> float:
    """CPU time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def memory_mb(pid: int, key: str = "VmRSS") -> float:
    """Memory of a process."""
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith(key))
    return int(line.split()[1]) / 1000
