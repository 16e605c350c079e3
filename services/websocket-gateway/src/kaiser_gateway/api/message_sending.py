"""Sending from the message centre: templates, ingest's verdict on a message, and messages as requests to factory."""

import secrets
import uuid
from typing import Annotated, Any

from fastapi import APIRouter, Query
from kaiser_common.bus.connection import Bus
from kaiser_common.bus.rpc import Caller, RpcError, call
from kaiser_common.contract.errors import Code
from kaiser_common.contract.schemas.api.factory import SteerAnswer, SteerRequest
from kaiser_common.contract.schemas.api.messages import (
    CheckedMessage,
    CheckMessage,
    MessageTemplate,
    MessageTemplates,
    RetainedTopics,
    SendMessage,
)
from kaiser_common.runtime.clock import now_ms
from kaiser_factory_dialect.templates import templates

from kaiser_gateway.api.factory_messages import retained_by_broker, verdict_on
from kaiser_gateway.api.paths import IdempotencyKey
from kaiser_gateway.http.auth import Guard

TopicQuery = Annotated[str, Query(min_length=1, max_length=1024, examples=["ccu/order/request"])]


class TemplateIds:
    """New ids from the system's random numbers."""

    def uuid(self) -> str:
        """A new UUID."""
        return str(uuid.uuid4())

    def digits(self, count: int) -> str:
        """That many new hexadecimal digits."""
        return secrets.token_hex((count + 1) // 2)[:count]


def router(bus: Bus, guard: Guard) -> APIRouter:
    """/api/v1/messages, except what is read from TOPICS."""
    routes = APIRouter(prefix="/api/v1/messages", tags=["messages"])
    viewer, operator = guard.needs("viewer"), guard.needs("operator")

    @routes.get("/templates")
    async def list_templates(_: Caller = viewer) -> MessageTemplates:
        """A template for each command that the factory knows."""
        found = templates(now_ms(), TemplateIds())
        return MessageTemplates(
            templates=[MessageTemplate(name=one.name, topic=one.topic, payload=one.payload) for one in found]
        )

    @routes.get("/retained")
    async def list_retained_topics(caller: Caller = viewer) -> RetainedTopics:
        """The broker's retained messages, commands first: these are delivered each time their receiver connects."""
        return await retained_by_broker(bus, caller)

    @routes.delete("/retained", status_code=202)
    async def remove_retained(
        topic: TopicQuery, idempotency_key: IdempotencyKey = None, caller: Caller = operator
    ) -> SteerAnswer:
        """Delete the retained message of a topic, by an empty retained message. The journal records it."""
        request = SteerRequest(request={"do": "clear", "topic": topic}, idempotency_key=idempotency_key)
        return await call(bus, "factory", "steer", request, SteerAnswer, caller=caller)

    @routes.post("/validate")
    async def validate_message(body: CheckMessage, caller: Caller = viewer) -> CheckedMessage:
        """Validate a message as ingest would, a device's message too; nothing is sent or kept."""
        return await verdict_on(bus, body, caller)

    @routes.post("", status_code=202)
    async def send_message(
        body: SendMessage, idempotency_key: IdempotencyKey = None, caller: Caller = operator
    ) -> SteerAnswer:
        """Send a message to the factory, never retained; the journal and factory_command events follow it.

        422 (the code and the field): ingest would reject it. 409 (5405): no topic of a command, and not `free`;
        `kaiser/…` is never sent from here.
        """
        if body.retain:
            raise RpcError(422, Code.FIELD_TYPE_MISMATCH, "messages sent from here are never retained", "retain")
        request: dict[str, Any] = {"do": "publish", "topic": body.topic}
        if body.payload_base64 is None:
            request["payload"] = body.payload
        else:
            request["payload_base64"] = body.payload_base64
        if body.qos == 0:
            request |= {"qos": 0}
        if body.free:
            request |= {"free": True}
        steered = SteerRequest(request=request, idempotency_key=idempotency_key)
        return await call(bus, "factory", "steer", steered, SteerAnswer, caller=caller)

    return routes
