"""ETags: a GET of the API whose answer has not changed is answered with 304 and no body."""

import hashlib

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_PREFIX = "/api/"


class ConditionalGet:
    """An ASGI middleware. It holds an answer's body until the body is complete. An answer that does not state its
    length, such as a file that is read while it is sent, passes through: held, it would be in memory as a whole."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "GET" or not scope["path"].startswith(_PREFIX):
            await self._app(scope, receive, send)
            return
        await self._app(scope, receive, _Answer(Headers(scope=scope).get("if-none-match", ""), send).on_message)


class _Answer:
    def __init__(self, known: str, send: Send) -> None:
        self._known = known
        self._send = send
        self._start: Message | None = None
        self._body: list[bytes] = []

    async def on_message(self, message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] == 200 and _states_its_length(message):
            self._start = message
        elif self._start is None or message["type"] != "http.response.body":
            await self._send(message)
        else:
            self._body.append(message.get("body", b""))
            if not message.get("more_body", False):
                await self._finish(self._start, b"".join(self._body))

    async def _finish(self, start: Message, body: bytes) -> None:
        tag = etag(body)
        headers = MutableHeaders(raw=list(start["headers"]))
        headers["ETag"] = tag
        headers["Cache-Control"] = "private, no-cache"  # to be kept, and asked for again each time
        status = 200
        if matches(tag, self._known):
            status, body = 304, b""
            del headers["content-length"], headers["content-type"]
        await self._send({**start, "status": status, "headers": headers.raw})
        await self._send({"type": "http.response.body", "body": body})


def _states_its_length(start: Message) -> bool:
    return any(name == b"content-length" for name, _ in start["headers"])


def etag(body: bytes) -> str:
    """The same for the same bytes."""
    return f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'


def matches(tag: str, if_none_match: str) -> bool:
    """Whether the client has it (RFC 9110 §13.1.2: a weak comparison)."""
    known = {one.strip().removeprefix("W/") for one in if_none_match.split(",")}
    return tag in known or "*" in known
