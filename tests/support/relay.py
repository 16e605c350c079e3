"""A relay before a server whose network can be cut: nothing passes any more, either way, and nobody is told."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_CHUNK = 65_536
_STARTED_WITHIN_S = 30.0


class Relay:
    """Passes bytes between clients and a server. While it is cut, connections stay open and silent, as behind a
    network that drops every packet; what was under way arrives once it is mended. Ports are of 127.0.0.1; paths are
    unix sockets."""

    def __init__(self, listen: int | Path, server: int | Path) -> None:
        self._listen = listen
        self._server = server
        self._loop = asyncio.new_event_loop()
        self._through = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def start(self) -> None:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._serve(), self._loop).result(_STARTED_WITHIN_S)
        self.mend()

    def cut(self) -> None:
        """Let nothing pass."""
        self._loop.call_soon_threadsafe(self._through.clear)

    def mend(self) -> None:
        """Let everything pass."""
        self._loop.call_soon_threadsafe(self._through.set)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_STARTED_WITHIN_S)

    async def _serve(self) -> None:
        if isinstance(self._listen, Path):
            await asyncio.start_unix_server(self._on_client, self._listen)
            self._listen.chmod(0o777)
        else:
            await asyncio.start_server(self._on_client, "127.0.0.1", self._listen)

    async def _on_client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._through.wait()
        try:
            if isinstance(self._server, Path):
                to_reader, to_writer = await asyncio.open_unix_connection(self._server)
            else:
                to_reader, to_writer = await asyncio.open_connection("127.0.0.1", self._server)
        except OSError:
            writer.close()
            return
        await asyncio.gather(self._pass(reader, to_writer), self._pass(to_reader, writer))

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Until one side ends; the other one learns of it when the network is there."""
        try:
            while data := await reader.read(_CHUNK):
                await self._through.wait()
                writer.write(data)
                await writer.drain()
        except OSError:
            pass  # the writer is closed below
        await self._through.wait()
        writer.close()


@contextmanager
def relay(listen: int | Path, server: int | Path) -> Iterator[Relay]:
    """A relay that is started; it ends with the block."""
    found = Relay(listen, server)
    found.start()
    try:
        yield found
    finally:
        found.stop()
