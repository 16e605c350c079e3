"""The parser of NATS's protocol: messages of diverted subscriptions go straight to their callbacks.

nats-py's own cuts its buffer anew at each message and awaits a coroutine for it. It remains the base of this one and
reads every line that is no message (docs/decisions/0302).
"""

from collections.abc import Callable, Mapping
from typing import Any

from nats.errors import ProtocolError
from nats.protocol.parser import Parser

Callback = Callable[[str, str, bytes, bytes | None], None]
"""Called with subject, reply, body and raw headers, in order, on the event loop; it must not block or raise."""

_END = b"\r\n"


class DirectParser(Parser):
    """Cuts what the socket gave into messages and lines; `diverted` has the callbacks by subscription id.

    What is incomplete waits in `buf` for the next bytes; `reset`, at each new connection, drops it.
    """

    def __init__(self, client: Any, diverted: Mapping[int, Callback]) -> None:
        self._diverted = diverted
        super().__init__(client)

    def reset(self) -> None:
        """Begin anew; a `parse` that is being awaited meanwhile drops the rest of what it has."""
        super().reset()
        self._least = 1  # bytes without which nothing is complete, so that a long message is not looked at often

    async def parse(self, data: bytes = b"") -> None:
        """Hand on all that is complete. ProtocolError: nats-py connects again."""
        buffer = self.buf
        buffer += data
        if len(buffer) < self._least:
            return
        data, self._least = bytes(buffer), 1
        buffer.clear()
        at, stats = 0, self.nc.stats
        while (line_end := data.find(_END, at)) >= 0:
            fields = data[at:line_end].decode().split(" ")
            start = line_end + 2
            if fields[0] == "HMSG" or fields[0] == "MSG":
                subject, sid, reply, header_size, size = _message(fields)
                end = start + size
                if len(data) < end + 2:
                    self._least = end + 2 - at
                    break
                at = end + 2
                body = data[start + header_size : end]
                headers = data[start : start + header_size] if header_size else None
                callback = self._diverted.get(sid)
                if callback is not None:
                    stats["in_msgs"] += 1
                    stats["in_bytes"] += len(body)
                    callback(subject, reply, body, headers)
                    continue
                await self.nc._process_msg(sid, subject.encode(), reply.encode(), body, headers)
            else:
                line, at = data[at:start], start
                await super().parse(line)
            if self.buf is not buffer:  # reset meanwhile: the rest is an older connection's
                return
            if buffer:
                raise ProtocolError("nats: unknown protocol")
        buffer += data[at:]


def _message(fields: list[str]) -> tuple[str, int, str, int, int]:
    """Subject, subscription id, reply, size of the headers, size of headers and body.

    `MSG <subject> <sid> [reply] <size>`, `HMSG <subject> <sid> [reply] <size of headers> <size>`.
    """
    with_headers = fields[0] == "HMSG"
    has_reply = len(fields) == 5 + with_headers
    if has_reply or len(fields) == 4 + with_headers:
        try:
            sid, size = int(fields[2]), int(fields[-1])
            header_size = int(fields[-2]) if with_headers else 0
        except ValueError as error:
            raise ProtocolError("nats: malformed MSG") from error
        if 0 <= header_size <= size:
            return fields[1], sid, fields[3] if has_reply else "", header_size, size
    raise ProtocolError("nats: malformed MSG")
