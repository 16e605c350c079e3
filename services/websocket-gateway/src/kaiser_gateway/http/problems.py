"""Errors as RFC 9457 problem+json with Kaiser's code."""

import asyncio
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from kaiser_common.bus.rpc import NotRunning, RpcError
from kaiser_common.contract.errors import ERRORS, Code, CodeRow, codes_of, line_of
from kaiser_common.contract.nearest import nearest
from kaiser_common.contract.wording import Violation, first_of, reason_of, violation_of
from kaiser_common.runtime.database import UNAVAILABLE
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from kaiser_gateway.domain.named_fields import body_fields

log = structlog.get_logger()

MEDIA_TYPE = "application/problem+json"

_CODE_OF_STATUS = {
    401: Code.NOT_SIGNED_IN,
    403: Code.PERMISSION_DENIED,
    429: Code.RATE_LIMIT_EXCEEDED,
    503: Code.DEPENDENCY_MISSING,
}


class ProblemDocument(BaseModel):
    """The body of every error. `code` is one of the stable error codes. `rule` and
    `limit`: the rule that `field` broke, such as `greater_than_equal` and 60, for a text in another language."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    code: int
    field: str | None = None
    rule: str | None = None
    limit: int | float | str | None = None
    request_id: str | None = None


RESPONSES: dict[int | str, dict[str, Any]] = {"default": {"description": "A problem"}}
"""Given to FastAPI so that it does not document its own error format; `with_problems` documents each route's
answers."""

PASSWORD = "name_and_password"
_TOKEN = "access_token"
"""The two ways to authorize, in the OpenAPI document: the page /api/docs asks for one of them."""

_ANY_ROUTE = (401, 403, 422, 429, 500, 503, 504)


def with_problems(document: dict[str, Any]) -> dict[str, Any]:
    """An OpenAPI document with the problems that routes answer, from the catalogue of error codes: those that any route
    may answer by their status, the others as `default`."""
    answers = {str(status): _answer(HTTPStatus(status).phrase, codes_of(status)) for status in _ANY_ROUTE}
    answers["default"] = _answer("Another problem", [row for row in ERRORS if row.statuses])
    document["components"]["responses"] = {f"Problem_{status}": answer for status, answer in answers.items()}
    document["components"].setdefault("securitySchemes", {})[_TOKEN] = {"type": "http", "scheme": "bearer"}
    document["components"]["schemas"]["ProblemDocument"] = ProblemDocument.model_json_schema()
    for operation in [each for path in document["paths"].values() for each in path.values()]:
        if operation.get("security"):
            operation["security"] = [{PASSWORD: []}, {_TOKEN: []}]
        for status in answers:
            operation["responses"][status] = {"$ref": f"#/components/responses/Problem_{status}"}
    return document


def _answer(title: str, rows: Iterable[CodeRow]) -> dict[str, Any]:
    lines = [f"{title}. Codes:", "", *(f"- {row.code.value}: {row.meaning}" for row in rows)]
    schema = {"$ref": "#/components/schemas/ProblemDocument"}
    return {"description": "\n".join(lines), "content": {MEDIA_TYPE: {"schema": schema}}}


CSV_TOO: dict[int | str, dict[str, Any]] = {200: {"content": {"text/csv": {"schema": {"type": "string"}}}}}
"""For OpenAPI: a list that also comes as CSV."""


def problem(
    request: Request,
    status: int,
    code: int,
    detail: str,
    *,
    field: str | None = None,
    broken: Violation | None = None,
    headers: dict[str, str] | None = None,
) -> JSONResponse:
    """A problem as a response."""
    document = ProblemDocument(
        title=HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        code=code,
        field=field,
        rule=broken and broken.rule,
        limit=broken and broken.limit,
        request_id=getattr(request.state, "request_id", None),
    )
    return JSONResponse(
        document.model_dump(exclude_none=True), status_code=status, media_type=MEDIA_TYPE, headers=headers
    )


_OPTIONAL = {
    "factory": "no service factory is running. A site without a factory has none; to turn it on, set "
    'KAISER_MQTT_DIALECTS to ["esp", "factory"] and start the service factory (docs/factory.md)',
    "recorder": "no service recorder is running. It comes with the factory: set KAISER_MQTT_DIALECTS to "
    '["esp", "factory"] and start the service recorder (docs/recordings.md)',
}
"""For optional services: the message when none is running."""


def install(app: FastAPI) -> None:
    """Have every error of the app answered as a problem."""

    async def of_owner(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RpcError)
        refused = error.problem
        if isinstance(error, NotRunning) and error.service in _OPTIONAL:
            return problem(request, 503, Code.DEPENDENCY_MISSING, _OPTIONAL[error.service])
        headers = {"WWW-Authenticate": "Bearer"} if refused.status == 401 else None
        return problem(request, refused.status, refused.code, refused.detail, field=refused.field, headers=headers)

    async def of_request(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        first = first_of(error.errors())
        if first["type"] == "json_invalid":
            return problem(request, 422, Code.JSON_PARSE_ERROR, f"the body is not JSON: {_json_error(error)}")
        if first["loc"] == ("body",) and "json" not in request.headers.get("Content-Type", "json"):
            detail = "the body was not read as JSON: send the header Content-Type: application/json"
            return problem(request, 422, Code.FIELD_TYPE_MISMATCH, detail)
        field = ".".join(str(part) for part in first["loc"][1:]) or None
        code = Code.MISSING_REQUIRED_FIELD if first["type"] == "missing" else Code.FIELD_TYPE_MISMATCH
        known = await _known(request, first["loc"]) if first["type"] == "extra_forbidden" else ()
        detail = f"{field or 'request'}: {reason_of(first, known)}"
        return problem(request, 422, code, detail, field=field, broken=violation_of(first))

    async def of_http(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        code = _CODE_OF_STATUS.get(error.status_code, Code.PROCESSING_FAILED)
        headers = dict(error.headers) if error.headers else None
        detail = str(error.detail)
        if detail == HTTPStatus(error.status_code).phrase and error.status_code in (404, 405):
            detail = await _no_such_route(request, error.status_code)
        return problem(request, error.status_code, code, detail, headers=headers)

    async def of_database(request: Request, error: Exception) -> JSONResponse:
        log.warning("database_unreachable", error=line_of(error))
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


def _json_error(error: RequestValidationError) -> str:
    """The error in a body that is not JSON, and its place: lines and columns count from 1."""
    first = error.errors()[0]
    before = str(error.body)[: first["loc"][-1]]
    line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
    return f"{first['ctx']['error']} at line {line}, column {column}"


async def _known(request: Request, place: tuple[str | int, ...]) -> set[str]:
    """The fields that a request may have where it has an unknown one. The document is made once, in a thread."""
    document = await asyncio.to_thread(request.app.openapi)
    return body_fields(document, request.scope["route"].path_format, request.method, place[1:-1])


async def _no_such_route(request: Request, status: int) -> str:
    """That there is no such request, with the path that looks like it and the page that lists them all."""
    path = request.url.path[:200]
    alike = await asyncio.to_thread(_path_like, request.app, path) if status == 404 else None
    hint = f"did you mean {alike}? " if alike else ""
    return f"there is no {request.method} {path}: {hint}/api/docs lists all requests"


def _path_like(app: FastAPI, path: str) -> str | None:
    """The path without parameters that looks most like this one. Only the document has those of included routers."""
    paths = {route.path for route in app.routes if hasattr(route, "path")}.union(app.openapi()["paths"])
    return nearest(path, {each for each in paths if "{" not in each and each not in (path, "/api/docs")})
