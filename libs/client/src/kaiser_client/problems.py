"""The exceptions that a request to Kaiser can raise."""

import json
from typing import Any


class KaiserError(Exception):
    """Any of them; the text says what happened."""


class ServerAway(KaiserError):
    """The server cannot be reached, or did not answer in time. A change may have been made nevertheless."""


class UnexpectedAnswer(KaiserError):
    """An answer that is none of Kaiser's, or of another version."""


class WatchEnded(KaiserError):
    """The server has closed the WebSocket for good. code: docs/protocol.md lists them."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"the server has closed the connection: {reason or 'no reason given'} ({code})")
        self.code = code


class ApiProblem(KaiserError):
    """The server refused. code: Kaiser's stable error code (docs/errors.md), 0 where the answer has none."""

    def __init__(self, status: int, detail: str, code: int = 0, field: str | None = None, request_id: str = "") -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.code = code
        self.field = field
        self.request_id = request_id


class NotSignedIn(ApiProblem):
    """401: there is no token, or it has expired, or its user was changed."""


def problem_of(status: int, content: bytes, request_id: str = "") -> ApiProblem:
    """The problem in an answer, whatever answered: a proxy's page has no code."""
    body = _object(content)
    code, field = body.get("code"), body.get("field")
    kind = NotSignedIn if status == 401 else ApiProblem
    return kind(
        status,
        str(body.get("detail") or content[:200].decode(errors="replace").strip() or f"status {status}"),
        code if isinstance(code, int) else 0,
        field if isinstance(field, str) else None,
        str(body.get("request_id") or request_id),
    )


def _object(content: bytes) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
