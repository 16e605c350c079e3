"""The edge of the API: a request's token and size are checked before its body is parsed."""

import asyncio
from collections import Counter

from kaiser_common.contract.errors import Code
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kaiser_gateway.domain.limits import source_of
from kaiser_gateway.domain.tokens import NotAllowed, TokenRefused
from kaiser_gateway.http.auth import Guard
from kaiser_gateway.http.issuer import IssuerUnreachable
from kaiser_gateway.http.problems import problem

MOST_BYTES = 1_048_576
MOST_BYTES_WITHOUT_TOKEN = 16_384
MOST_BYTES_OF_A_FILE = 512 * 1024 * 1024
MOST_BYTES_UNDER_WAY = 16 * MOST_BYTES

_WITHOUT_TOKEN = frozenset(
    {
        "/api/v1/auth/token",
        "/api/v1/auth/refresh",
        "/api/v1/auth/logout",
        "/api/v1/auth/oidc/begin",
        "/api/v1/auth/oidc/finish",
        "/api/v1/auth/oidc/refresh",
        "/api/v1/auth/oidc/logout",
        "/compat/v1/auth/login",
        "/compat/v1/auth/refresh",
        "/compat/v1/auth/setup",
    }
)
_FILES = frozenset({"/api/v1/recordings/import"})
"""Their handlers read the body themselves, part by part."""
_WITH_BODY = frozenset({"POST", "PUT", "PATCH", "DELETE"})


class Edge:
    """An ASGI middleware. It reads a body of at most 1 MiB (16 KiB without a token) whole within `body_s` and hands it
    on; a larger one is 413, a slower one 408, one without a valid token 401 without being read, and one beyond the
    16 MiB that a user may have under way 429, but never one of at most 16 KiB, such as a stop. A file that is uploaded
    passes through, of at most 512 MiB."""

    def __init__(self, app: ASGIApp, guard: Guard, body_s: float) -> None:
        self._app = app
        self._guard = guard
        self._body_s = body_s
        self._held: Counter[str] = Counter()
        """Bytes of bodies whose requests are not answered yet, by user or address."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        who = await self._who(request)
        if isinstance(who, Response):
            await _refuse(who, scope, receive, send)
        elif request.url.path in _FILES and request.method in _WITH_BODY:
            refusal = _too_large(request, MOST_BYTES_OF_A_FILE)
            await (self._with_file(scope, receive, send) if refusal is None else _refuse(refusal, scope, receive, send))
        elif _has_body(request.headers):
            await self._with_body(request, who, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _who(self, request: Request) -> str | Response:
        """The user or address of a request, or the answer to one that is refused before its body is looked at."""
        if not _needs_token(request):
            return source_of(request.client.host if request.client else "")
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        try:
            identity = await self._guard.verify(token.strip() if scheme.lower() == "bearer" else "")
        except TokenRefused as error:
            headers = {"WWW-Authenticate": "Bearer"}
            return problem(request, 401, Code.NOT_SIGNED_IN, str(error), headers=headers)
        except NotAllowed as error:
            return problem(request, 403, Code.PERMISSION_DENIED, str(error))
        except IssuerUnreachable as error:
            return problem(request, 503, Code.DEPENDENCY_MISSING, str(error), headers={"Retry-After": "5"})
        return f"user {identity.external} {identity.user}"

    async def _with_file(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the body on as it comes. An answer before its end closes the connection: the rest is not waited for."""
        is_whole = False

        async def noted() -> Message:
            nonlocal is_whole
            message = await receive()
            is_whole = not message.get("more_body", False)
            return message

        async def closing(message: Message) -> None:
            if message["type"] == "http.response.start" and not is_whole:
                MutableHeaders(scope=message)["Connection"] = "close"
            await send(message)

        await self._app(scope, noted, closing)

    async def _with_body(self, request: Request, who: str, receive: Receive, send: Send) -> None:
        body = bytearray()
        try:
            refusal = await self._read(request, who, receive, body)
            if refusal is None:
                await self._app(request.scope, _replay(bytes(body), receive), send)
            else:
                await _refuse(refusal, request.scope, receive, send)
        finally:
            self._held[who] -= len(body)
            if self._held[who] <= 0:
                del self._held[who]

    async def _read(self, request: Request, who: str, receive: Receive, body: bytearray) -> Response | None:
        """Read the body; why not, if it is refused."""
        most = MOST_BYTES if _needs_token(request) else MOST_BYTES_WITHOUT_TOKEN
        if (refusal := _too_large(request, most)) is not None:
            return refusal
        try:
            async with asyncio.timeout(self._body_s):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return problem(request, 400, Code.PROCESSING_FAILED, "the request body ended early")
                    part = message.get("body", b"")
                    body += part
                    self._held[who] += len(part)
                    if len(body) > most:
                        return _refused(request, most)
                    if self._held[who] > MOST_BYTES_UNDER_WAY and len(body) > MOST_BYTES_WITHOUT_TOKEN:
                        text = "too many bytes of requests under way: wait for their answers"
                        return problem(request, 429, Code.RATE_LIMIT_EXCEEDED, text, headers={"Retry-After": "1"})
                    if not message.get("more_body", False):
                        return None
        except TimeoutError:
            late = f"the body did not come within {self._body_s:g} s"
            return problem(request, 408, Code.OPERATION_TIMEOUT, late)


async def _refuse(refusal: Response, scope: Scope, receive: Receive, send: Send) -> None:
    refusal.headers["Connection"] = "close"  # the rest of the body is not waited for
    await refusal(scope, receive, send)


def _needs_token(request: Request) -> bool:
    """Whether a body of the request may be read only with a token."""
    return request.method in _WITH_BODY and request.url.path not in _WITHOUT_TOKEN


def _too_large(request: Request, most: int) -> Response | None:
    """The refusal of a body that says itself that it is too large."""
    return _refused(request, most) if int(request.headers.get("content-length") or 0) > most else None


def _refused(request: Request, most: int) -> Response:
    return problem(request, 413, Code.PROCESSING_FAILED, f"a body may have {most} bytes here")


def _has_body(headers: Headers) -> bool:
    return "transfer-encoding" in headers or headers.get("content-length", "0") != "0"


def _replay(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives the body that was read, then what else comes (the client's leaving)."""
    given = False

    async def replayed() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replayed
