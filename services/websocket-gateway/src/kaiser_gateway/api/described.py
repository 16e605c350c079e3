"""What Kaiser publishes of itself: the page of its REST API, the AsyncAPI document, the JSON Schema of each event."""

import base64
import hashlib
import re
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Path, Request
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse, JSONResponse
from kaiser_common.contract.catalogue import EVENT_MODELS

from kaiser_gateway.domain.asyncapi import document

_SWAGGER = "/console/vendor/swagger-ui-5.35.0"
_DIALECT = "https://json-schema.org/draft/2020-12/schema"


class SchemaAnswer(JSONResponse):
    """A JSON Schema."""

    media_type = "application/schema+json"


def router() -> APIRouter:
    """/api/docs, /api/asyncapi and /api/schemas/."""
    routes = APIRouter(prefix="/api", tags=["descriptions"])

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

    @routes.get("/asyncapi")
    async def asyncapi(request: Request) -> dict[str, Any]:
        """The WebSocket and the bus as an AsyncAPI 3.0 document."""
        return document(request.url.netloc or "127.0.0.1", request.url.scheme == "https")

    @routes.get("/schemas/")
    async def schemas(request: Request) -> dict[str, str]:
        """Where the JSON Schema of each event type's data is."""
        return {kind: f"/api/schemas/{kind}.json" for kind in EVENT_MODELS}

    @routes.get("/schemas/{kind}.json", response_class=SchemaAnswer)
    async def schema(kind: Annotated[str, Path(examples=["sensor_data"])]) -> SchemaAnswer:
        """The JSON Schema of the data of one event type."""
        model = EVENT_MODELS.get(kind)
        if model is None:
            raise HTTPException(404, f"no event type {kind!r}")
        text = {"$schema": _DIALECT, "$id": f"/api/schemas/{kind}.json", **model.model_json_schema()}
        return SchemaAnswer(text)

    return routes


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
