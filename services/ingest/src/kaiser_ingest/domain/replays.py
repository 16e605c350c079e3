"""Turns a bus message that a service rejected into the message that the service reads again; pure."""

import json

from kaiser_common.bus.connection import Outgoing
from kaiser_common.contract.errors import Code
from kaiser_common.contract.topics import BUS_KINDS, Kind, is_downlink, is_kaiser_id

from kaiser_ingest.domain.admission import Registered
from kaiser_ingest.domain.validate import Rejection

_KINDS = frozenset(BUS_KINDS.get(kind, kind).value for kind in Kind if not is_downlink(kind))


def to_outgoing_again(subject: str, body: bytes, registered: Registered, msg_id: str) -> Outgoing | Rejection:
    """The message marked as replayed, for the subject it came from (`esp.<kind>.<kaiser_id>.…`).

    Rejection: 5212 for a subject that does not carry a message of a device (a receipt, a message for a mock), 5209
    for a body that is not a JSON object, 5001 if its device is no longer registered.
    """
    tokens = subject.split(".")
    if len(tokens) not in (5, 6) or ".".join(tokens[1:3]) not in _KINDS or not is_kaiser_id(tokens[3]):
        return Rejection(
            Code.UNKNOWN_TOPIC, f"{subject[:128]!r} does not carry a message of a device", None, None, body
        )
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError) as error:
        return Rejection(Code.JSON_PARSE_ERROR, str(error), None, None, body)
    if not isinstance(fields, dict):
        return Rejection(Code.JSON_PARSE_ERROR, "the message is not a JSON object", None, None, body)
    esp_id = fields.get("esp_id")
    if not isinstance(esp_id, str) or esp_id not in registered:
        detail = f"device {str(esp_id)[:40]} is not registered and approved"
        return Rejection(Code.ESP_DEVICE_NOT_FOUND, detail, "esp_id", None, body)
    again = json.dumps({**fields, "replayed": True}, separators=(",", ":"), ensure_ascii=False)
    return Outgoing(subject, again.encode(errors="surrogatepass"), msg_id)
