"""Errors as RFC 9457 problem+json with Kaiser's code."""

from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from kaiser_common.bus.rpc import NotRunning, RpcError, reason_of
from kaiser_common.contract.errors import Code
from kaiser_common.runtime.database import UNAVAILABLE
from pydantic import BaseModel
from starlette.exceptions import HTTPException

log = structlog.get_logger()

MEDIA_TYPE = "application/problem+json"

_CODE_OF_STATUS = {
    401: Code.PERMISSION_DENIED,
    403: Code.PERMISSION_DENIED,
    429: Code.RATE_LIMIT_EXCEEDED,
    503: Code.DEPENDENCY_MISSING,
}


class ProblemDocument(BaseModel):
    """The body of every error. `code` is one of the stable error codes."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    code: int
    field: str | None = None
    request_id: str | None = None


RESPONSES: dict[int | str, dict[str, Any]] = {
    "default": {"description": "A problem", "content": {MEDIA_TYPE: {"schema": ProblemDocument.model_json_schema()}}}
}
"""For OpenAPI: any route may answer with a problem."""

CSV_TOO: dict[int | str, dict[str, Any]] = {200: {"content": {"text/csv": {"schema": {"type": "string"}}}}}
"""For OpenAPI: a list that also comes as CSV."""


def problem(
    request: Request,
    status: int,
    code: int,
    detail: str,
    *,
    field: str | None = None,
    headers: dict[str, str] | None = None,
) -> JSONResponse:
    """A problem as a response."""
    document = ProblemDocument(
        title=HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        code=code,
        field=field,
        request_id=getattr(request.state, "request_id", None),
    )
    return JSONResponse(
        document.model_dump(exclude_none=True), status_code=status, media_type=MEDIA_TYPE, headers=headers
    )


_OPTIONAL = {
    "factory": "no service factory is running. A site without a factory has none; to turn it on, set "
    'KAISER_MQTT_DIALECTS to ["esp", "factory"] and start the service factory (docs/factory.md)'
}
"""Of a service that a site need not have: what to say while none is running."""


def install(app: FastAPI) -> None:
    """Have every error of the app answered as a problem."""

    async def of_owner(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RpcError)
        refused = error.problem
        if isinstance(error, NotRunning) and error.service in _OPTIONAL:
            return problem(request, 503, Code.DEPENDENCY_MISSING, _OPTIONAL[error.service])
        return problem(request, refused.status, refused.code, refused.detail, field=refused.field)

    async def of_request(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        if first["type"] == "json_invalid":
            detail = f"the body is no JSON: {first['ctx']['error']} at character {first['loc'][-1]}"
            return problem(request, 422, Code.JSON_PARSE_ERROR, detail)
        if first["loc"] == ("body",) and "json" not in request.headers.get("Content-Type", "json"):
            detail = "the body was not read as JSON: send the header Content-Type: application/json"
            return problem(request, 422, Code.FIELD_TYPE_MISMATCH, detail)
        field = ".".join(str(part) for part in first["loc"][1:]) or None
        code = Code.MISSING_REQUIRED_FIELD if first["type"] == "missing" else Code.FIELD_TYPE_MISMATCH
        return problem(request, 422, code, f"{field or 'request'}: {reason_of(first)}", field=field)

    async def of_http(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        code = _CODE_OF_STATUS.get(error.status_code, Code.PROCESSING_FAILED)
        headers = dict(error.headers) if error.headers else None
        detail = str(error.detail)
        if detail == HTTPStatus(error.status_code).phrase and error.status_code in (404, 405):
            detail = f"there is no {request.method} {request.url.path[:200]}: /api/docs lists all requests"
        return problem(request, error.status_code, code, detail, headers=headers)

    async def of_database(request: Request, error: Exception) -> JSONResponse:
        log.warning("database_unreachable", error=(str(error) or type(error).__name__).splitlines()[0])
        return problem(
            request,
            503,
            Code.CONNECTION_FAILED,
            "the database does not answer or accepts no changes now: try again later",
            headers={"Retry-After": "5"},
        )

    async def of_bug(request: Request, error: Exception) -> JSONResponse:
        return problem(request, 500, Code.PROCESSING_FAILED, "the gateway failed: see its log")

    app.add_exception_handler(Exception, of_bug)  # it is raised again behind the answer, and so logged
    app.add_exception_handler(RpcError, of_owner)
    app.add_exception_handler(RequestValidationError, of_request)
    app.add_exception_handler(HTTPException, of_http)
    for kind in UNAVAILABLE:
        app.add_exception_handler(kind, of_database)
