"""Answers requests about messages: how ingest would judge one, and what the broker retains."""

import base64
import binascii
from collections.abc import Callable

import msgspec
from kaiser_common.bus.rpc import Caller, RpcError
from kaiser_common.contract.errors import Code, Rejected
from kaiser_common.contract.rpc import Nothing
from kaiser_common.contract.schemas.api.messages import CheckedMessage, CheckMessage, RetainedTopics
from kaiser_factory_dialect import reading
from kaiser_factory_dialect.reading import Arrival, read
from kaiser_factory_dialect.topics import parse

from kaiser_ingest.domain.admission import Registered, admit
from kaiser_ingest.domain.factory_dialect import FactoryDialect
from kaiser_ingest.domain.validate import validate
from kaiser_ingest.domain.verdicts import judged


class MessagesApi:
    """Judges messages by the functions that the pipeline judges them by; nothing is published."""

    def __init__(
        self,
        dialect: FactoryDialect | None,
        registered: Registered,
        interfaces: tuple[str, ...],
        retention_ms: int,
        now_ms: Callable[[], int],
    ) -> None:
        self._now_ms = now_ms
        self._dialect = dialect
        self._registered = registered
        self._interfaces = interfaces
        self._retention_ms = retention_ms

    async def check(self, request: CheckMessage, _: Caller) -> CheckedMessage:
        """The verdict on a message. RpcError 422: payload_base64 is not valid base64."""
        payload, now = _payload(request), self._now_ms()
        if self._dialect is not None and self._dialect.takes(request.topic.encode(errors="replace")):
            if not self._dialect.reads:
                return CheckedMessage(verdict="ignore", reason="observed")
            return _of_factory(Arrival(request.topic, payload, now, 1, request.retain), self._interfaces)
        outcomes = validate(request.topic, payload, now, request.retain)
        return judged(admit(outcomes, self._registered, now - self._retention_ms, payload))

    async def retained(self, _: Nothing, __: Caller) -> RetainedTopics:
        """The retained messages of the factory, and of observed topics. RpcError 404: neither is read."""
        if self._dialect is None:
            text = "no messages are kept as they come: set KAISER_MQTT_DIALECTS or KAISER_OBSERVE"
            raise RpcError(404, Code.PROCESSING_FAILED, text)
        return RetainedTopics(topics=list(self._dialect.retained()))


def _payload(request: CheckMessage) -> bytes:
    if request.payload_base64 is None:
        return msgspec.json.encode(request.payload)
    try:
        return base64.b64decode(request.payload_base64, validate=True)
    except (binascii.Error, ValueError) as error:
        raise RpcError(422, Code.FIELD_TYPE_MISMATCH, "payload_base64 is not valid base64", "payload_base64") from error


def _of_factory(arrival: Arrival, interfaces: tuple[str, ...]) -> CheckedMessage:
    place = parse(arrival.topic, interfaces)
    kind = None if place is None else place.kind.value
    match read(arrival, interfaces):
        case reading.FactoryAccepted(message, oddities, unknown):
            warnings = [*(f"tolerated: {odd}" for odd in oddities), *(f"not read: {name}" for name in unknown)]
            return CheckedMessage(
                verdict="accept", kind=kind, normalised=msgspec.to_builtins(message), warnings=warnings
            )
        case Rejected() as rejected:
            return CheckedMessage(
                verdict="reject", kind=kind, code=int(rejected.code), field=rejected.field, reason=rejected.detail
            )
        case reading.FactoryIgnored(reason):
            return CheckedMessage(verdict="ignore", kind=kind, reason=reason)
