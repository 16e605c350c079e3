"""The edge of the API: a request's token and size are checked before its body is parsed."""

import asyncio

from kaiser_common.contract.errors import Code
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kaiser_gateway.domain.tokens import NotAllowed, TokenRefused
from kaiser_gateway.http.auth import Guard
from kaiser_gateway.http.issuer import IssuerUnreachable
from kaiser_gateway.http.problems import problem

MOST_BYTES = 1_048_576
MOST_BYTES_WITHOUT_TOKEN = 16_384

_WITHOUT_TOKEN = frozenset({"/api/v1/auth/token", "/api/v1/auth/refresh", "/api/v1/auth/logout"})
_WITH_BODY = frozenset({"POST", "PUT", "PATCH", "DELETE"})


class Edge:
    """An ASGI middleware. It reads a body of at most 1 MiB (16 KiB for sign-in) whole within `body_s` and hands it on;
    a larger one is 413, a slower one 408, and one without a valid token 401 without being read."""

    def __init__(self, app: ASGIApp, guard: Guard, body_s: float) -> None:
        self._app = app
        self._guard = guard
        self._body_s = body_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        refusal = await self._refusal(request)
        if refusal is None and _has_body(request.headers):
            refusal, body = await self._read(request, receive)
            receive = _replay(body, receive)
        if refusal is None:
            await self._app(scope, receive, send)
        else:
            refusal.headers["Connection"] = "close"  # the rest of the body is not waited for
            await refusal(scope, receive, send)

    async def _refusal(self, request: Request) -> Response | None:
        """Why a request is answered before its body is looked at; None where it may go on."""
        if request.method not in _WITH_BODY or request.url.path in _WITHOUT_TOKEN:
            return None
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        try:
            await self._guard.verify(token.strip() if scheme.lower() == "bearer" else "")
        except TokenRefused as error:
            headers = {"WWW-Authenticate": "Bearer"}
            return problem(request, 401, Code.PERMISSION_DENIED, str(error), headers=headers)
        except NotAllowed as error:
            return problem(request, 403, Code.PERMISSION_DENIED, str(error))
        except IssuerUnreachable as error:
            return problem(request, 503, Code.DEPENDENCY_MISSING, str(error), headers={"Retry-After": "5"})
        return None

    async def _read(self, request: Request, receive: Receive) -> tuple[Response | None, bytes]:
        most = MOST_BYTES_WITHOUT_TOKEN if request.url.path in _WITHOUT_TOKEN else MOST_BYTES
        too_large = f"a body may have {most} bytes here"
        if int(request.headers.get("content-length") or 0) > most:
            return problem(request, 413, Code.PROCESSING_FAILED, too_large), b""
        body = bytearray()
        try:
            async with asyncio.timeout(self._body_s):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return problem(request, 400, Code.PROCESSING_FAILED, "the request body ended early"), b""
                    body += message.get("body", b"")
                    if len(body) > most:
                        return problem(request, 413, Code.PROCESSING_FAILED, too_large), b""
                    if not message.get("more_body", False):
                        return None, bytes(body)
        except TimeoutError:
            late = f"the body did not come within {self._body_s:g} s"
            return problem(request, 408, Code.OPERATION_TIMEOUT, late), b""


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
