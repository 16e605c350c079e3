"""Kaiser's descriptions of itself: the REST API and its page, the AsyncAPI document, the JSON Schema of each event.

Anybody may ask for them, because they need no token. Each is therefore built only once: building one takes 20 ms in the
process that also carries emergency stops.
"""

import asyncio
import base64
import hashlib
import json
import re
from collections.abc import Callable
from functools import cache, partial
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse, JSONResponse
from kaiser_common.bus.rpc import RpcError
from kaiser_common.contract.catalogue import EVENT_MODELS
from kaiser_common.contract.errors import Code

from kaiser_gateway.domain.asyncapi import document

_SWAGGER = "/console/vendor/swagger-ui-5.35.0"
_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_JSON = "application/json"
_HOST = "host.of.this.gateway"


class SchemaAnswer(JSONResponse):
    """A JSON Schema."""

    media_type = "application/schema+json"


def router(openapi: Callable[[], dict[str, Any]]) -> APIRouter:
    """/api/openapi.json, /api/docs, /api/asyncapi and /api/schemas/. openapi: makes the document of all routes."""
    routes = APIRouter(prefix="/api", tags=["descriptions"])
    rest_text = _Once(openapi)
    async_texts = {secure: _Once(partial(document, _HOST, secure)) for secure in (True, False)}

    @routes.get("/openapi.json", include_in_schema=False)
    async def rest() -> Response:
        """The REST API as an OpenAPI document."""
        return Response(await rest_text.get(), media_type=_JSON)

    @routes.get("/docs", include_in_schema=False)
    async def page() -> HTMLResponse:
        """The REST API to read and to try, without a file from anywhere else."""
        answer = get_swagger_ui_html(
            openapi_url="/api/openapi.json",
            title="Kaiser API",
            swagger_js_url=f"{_SWAGGER}/swagger-ui-bundle.js",
            swagger_css_url=f"{_SWAGGER}/swagger-ui.css",
            swagger_favicon_url="/console/icon.svg",
        )
        answer.headers.update(_headers(bytes(answer.body).decode()))
        return answer

    @routes.get("/asyncapi", response_model=dict[str, Any])
    async def read_asyncapi(request: Request) -> Response:
        """WebSocket, bus and MQTT as an AsyncAPI 3.0 document."""
        host = json.dumps(request.url.netloc or "127.0.0.1").encode()
        text = await async_texts[request.url.scheme == "https"].get()
        return Response(text.replace(json.dumps(_HOST).encode(), host, 1), media_type=_JSON)

    @routes.get("/schemas/")
    async def list_event_schemas(request: Request) -> dict[str, str]:
        """Where the JSON Schema of each event type's data is."""
        return {kind: f"/api/schemas/{kind}.json" for kind in EVENT_MODELS}

    @routes.get("/schemas/{kind}.json", response_class=SchemaAnswer)
    async def read_event_schema(kind: Annotated[str, Path(examples=["sensor_data"])]) -> SchemaAnswer:
        """The JSON Schema of the data of one event type."""
        if kind not in EVENT_MODELS:
            raise RpcError(404, Code.NOT_FOUND, f"no event type {kind!r}", "kind")
        return SchemaAnswer(_schema_of(kind))

    return routes


class _Once:
    """A document as JSON. The first request makes it, in a thread, so that no frame waits; the others wait for that."""

    def __init__(self, make: Callable[[], dict[str, Any]]) -> None:
        self._make = make
        self._lock = asyncio.Lock()
        self._text = b""

    async def get(self) -> bytes:
        """The text."""
        async with self._lock:
            if not self._text:
                self._text = await asyncio.to_thread(self._render)
        return self._text

    def _render(self) -> bytes:
        return json.dumps(self._make(), ensure_ascii=False, separators=(",", ":")).encode()


@cache
def _schema_of(kind: str) -> dict[str, Any]:
    return {"$schema": _DIALECT, "$id": f"/api/schemas/{kind}.json", **EVENT_MODELS[kind].model_json_schema()}


def _headers(html: str) -> dict[str, str]:
    """The permissions of the page: files from this server, its one inline script by its hash, and no framing."""
    scripts = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    hashes = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    allowed = (
        "default-src 'none'",
        " ".join(("script-src 'self'", *(f"'sha256-{one}'" for one in hashes))),
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
    return {
        "Content-Security-Policy": "; ".join(allowed),
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "no-referrer",
    }
