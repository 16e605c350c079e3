"""What Kaiser publishes of itself beside OpenAPI: the AsyncAPI document, and the JSON Schema of each event."""

from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Path, Request
from fastapi.responses import JSONResponse
from kaiser_common.schemas.event import EVENT_MODELS

from kaiser_gateway.asyncapi import document

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


class SchemaAnswer(JSONResponse):
    """A JSON Schema."""

    media_type = "application/schema+json"


def router() -> APIRouter:
    """/api/asyncapi and /api/schemas/."""
    routes = APIRouter(prefix="/api", tags=["descriptions"])

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
        model = EVENT_MODELS.get(kind)  # type: ignore[call-overload]
        if model is None:
            raise HTTPException(404, f"no event type {kind!r}")
        text = {"$schema": _DIALECT, "$id": f"/api/schemas/{kind}.json", **model.model_json_schema()}
        return SchemaAnswer(text)

    return routes
