"""Parses answers to configurations, zones and system commands: JSON of any generation to one model each; pure."""

from typing import Any, get_args

from kaiser_common.contract.bounds import MAX_COUNT, MAX_GPIO, MAX_LIST, MAX_NAME, MAX_WORD
from kaiser_common.contract.errors import Code, Rejected
from kaiser_common.contract.schemas import device
from kaiser_common.contract.topics import Kind, Topic

from kaiser_ingest.domain.fields import (
    Fields,
    Odd,
    choice,
    cut,
    mismatch,
    optional_identifier,
    optional_integer,
    optional_message,
    optional_text,
    optional_ts,
    present,
    text,
)
from kaiser_ingest.domain.identity import identity
from kaiser_ingest.domain.system_messages import details, null_text

_CONFIG_STATUSES = frozenset(get_args(device.ConfigStatus))
_FAILED = frozenset({"error", "failed", "rejected", "failure"})
_ANSWER_FIELDS = frozenset({*device.SystemResponse.model_fields, "timestamp", "seq"})
_INT4 = 2**31


def system_response(topic: Topic, fields: Fields, received_at_ms: int, odd: Odd) -> device.SystemResponse:
    """system.response: one of command, status, error is there; without `success`, status and error decide."""
    if all(fields.get(name) is None for name in ("command", "status", "error")):
        raise Rejected(Code.MISSING_REQUIRED_FIELD, "command, status or error is missing", "command")
    status, error = optional_text(fields, "status", odd), optional_message(fields, "error", odd)
    success = fields.get("success")
    if type(success) is not bool:
        if success is not None:
            odd.append("success")
        success = error is None and (status or "").lower() not in _FAILED
    command = optional_text(fields, "command", odd)
    if command is None and status is None and error is None:
        raise mismatch("command", fields.get("command"), "a string in command, status or error")
    return device.SystemResponse(
        **identity(topic, fields, optional_ts(fields, received_at_ms, odd), received_at_ms),
        command=command,
        success=success,
        status=status,
        error=error,
        message=optional_message(fields, "message", odd),
        correlation_id=optional_identifier(fields, "correlation_id", odd),
        details=details(fields, _ANSWER_FIELDS, odd),
    )


def config_response(topic: Topic, fields: Fields, received_at_ms: int, odd: Odd) -> device.ConfigResponse:
    """config.response, of one scope: the refused items in failures, or the older single failed_item."""
    failures = _failures(fields, odd)
    failed_count = optional_integer(fields, odd, "failed_count", low=0, high=MAX_COUNT)
    error_code = fields.get("error_code")
    return device.ConfigResponse(
        **identity(topic, fields, optional_ts(fields, received_at_ms, odd), received_at_ms),
        status=choice(present(fields, "status"), "status", _CONFIG_STATUSES),
        type=text(present(fields, "type"), "type", MAX_WORD),
        count=optional_integer(fields, odd, "count", low=0, high=MAX_COUNT) or 0,
        message=optional_message(fields, "message", odd) or "",
        failed_count=len(failures) if failed_count is None else failed_count,
        failures=failures,
        error_code=None if error_code is None else cut(str(error_code), MAX_WORD),
        config_id=optional_identifier(fields, "config_id", odd),
        correlation_id=optional_identifier(fields, "correlation_id", odd),
    )


def zone_ack(topic: Topic, fields: Fields, received_at_ms: int, odd: Odd) -> device.ZoneAck:
    """zone.ack, of a zone or a subzone. The id is required unless the status is error; the text "null" means none."""
    status = text(present(fields, "status"), "status", MAX_WORD)
    of_subzone = topic.kind is Kind.SUBZONE_ACK
    name = "subzone_id" if of_subzone else "zone_id"
    ids = {each: optional_text(fields, each, odd, MAX_NAME) for each in ("zone_id", "subzone_id")}
    if status != "error" or of_subzone:
        ids[name] = text(present(fields, name), name, MAX_NAME)
    return device.ZoneAck(
        **identity(topic, fields, optional_ts(fields, received_at_ms, odd), received_at_ms),
        status=status,
        zone_id=null_text(ids["zone_id"]) or "",
        subzone_id=ids["subzone_id"] if of_subzone else None,
        master_zone_id=null_text(optional_text(fields, "master_zone_id", odd)),
        message=optional_message(fields, "message", odd) or optional_message(fields, "reason_code", odd),
        correlation_id=optional_identifier(fields, "correlation_id", odd),
    )


def _failures(fields: Fields, odd: Odd) -> list[device.ConfigFailure]:
    """The items of a configuration that the device refused, at most 64; anything else is left out."""
    items = fields.get("failures")
    older = items is None
    if older:
        items = [] if fields.get("failed_item") is None else [fields["failed_item"]]
    if type(items) is not list:
        odd.append("failures")
        return []
    found = [item for item in items if type(item) is dict]
    if len(found) != len(items) or len(found) > MAX_LIST:
        odd.append("failures")
    return [_failure(item, fields, older, odd) for item in found[:MAX_LIST]]


def _failure(item: dict[str, Any], fields: Fields, older: bool, odd: Odd) -> device.ConfigFailure:
    """One refused item. The older form is the item as it was sent: its `type` is a sensor's, the scope is the answer's,
    and why it was refused stands in the answer."""
    if older:
        item = {
            "type": fields.get("type"),
            "gpio": item.get("gpio"),
            "error": str(fields.get("error_code") or "") or None,
            "detail": fields.get("message"),
        }
    return device.ConfigFailure(
        type=optional_text(item, "type", odd),
        gpio=optional_integer(item, odd, "gpio", low=0, high=MAX_GPIO),
        error_code=_code(item.get("error_code"), odd),
        error=optional_message(item, "error", odd),
        detail=optional_message(item, "detail", odd),
    )


def _code(value: Any, odd: Odd) -> int | str | None:
    """A code as a number or as a text."""
    if value is None or (type(value) is int and -_INT4 <= value < _INT4):
        return value
    if type(value) is str:
        return cut(value, MAX_WORD)
    odd.append("error_code")
    return None
