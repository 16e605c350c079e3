"""Sends a reading and follows it until it is stored, or rejected with a reason."""

import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from kaiser_stack.errors import NotReadyError

from kaiser_demo.rest import Rest, RestRefused
from kaiser_demo.send import AcknowledgedReading, SentReading

Send = Callable[[], AcknowledgedReading]
"""Sends the reading, with the time of now."""

_WITHIN_S = 30.0
_ASK_EVERY_S = 0.3
_NOT_REGISTERED = 5001
_DUPLICATE = 409
_WRONG = 422
_NOT_YET = (429, 502, 503, 504)

_HINTS = {
    _NOT_REGISTERED: "register it: `make send ESP={esp} REGISTER=1`, or approve it on the console's page Devices",
    5201: "an id is ESP_, MOCK_, SIM_ or TEST_ and then capital letters, digits or _, such as ESP=ESP_0A1B2C3D",
    5202: "set GPIO to a pin of the device, 0 to 48",
    5203: "set TYPE to a sensor type, such as TYPE=DS18B20",
    5207: "set VALUE, GPIO or TYPE to what the answer names",
    5211: "the device belongs to another site: send with --kaiser as the console's page of the device shows it",
}


class SentRejected(Exception):
    """The message was rejected; the text says why and what to do about it."""


def register(rest: Rest, esp_id: str) -> None:
    """Register the device, if it is not. SentRejected: Kaiser refuses such a device."""
    try:
        rest.ask("POST", "/api/v1/esp/devices", {"esp_id": esp_id})
    except RestRefused as error:
        if error.status != _DUPLICATE:
            raise SentRejected(f"{esp_id} was not registered: {error}") from error


def follow(rest: Rest, reading: SentReading, send: Send, *, registered: bool) -> str:
    """Send the reading, wait until it is stored, and say so in words. SentRejected: it was rejected; NotReadyError:
    neither within 30 s. registered: the device may be registered since a moment, so its first message may come too
    early."""
    sent = send()
    deadline = time.monotonic() + _WITHIN_S
    while time.monotonic() < deadline:
        if (row := _stored(rest, reading, sent)) is not None:
            return f"stored: {row['value']:g} {row['unit'] or '(without a unit)'}, quality {row['quality']}"
        rejection = _rejected(rest, sent)
        if rejection is not None and registered and rejection["code"] == _NOT_REGISTERED:
            sent = send()
        elif rejection is not None:
            raise SentRejected(_why(rejection, reading))
        time.sleep(_ASK_EVERY_S)
    raise NotReadyError(
        f"the message was acknowledged, but neither stored nor rejected within {_WITHIN_S:g} s: `make doctor` looks why"
    )


def _stored(rest: Rest, reading: SentReading, sent: AcknowledgedReading) -> dict[str, Any] | None:
    asked = f"esp_id={quote(reading.esp_id)}&gpio={reading.gpio}&from={sent.at_ms}&to={sent.at_ms + 1}"
    return next(iter(_items(rest, f"/api/v1/sensors/data?{asked}")), None)


def _rejected(rest: Rest, sent: AcknowledgedReading) -> dict[str, Any] | None:
    found = _items(rest, "/api/v1/rejected?limit=200")
    return next((one for one in found if (one["topic"], one["payload"]) == (sent.topic, sent.payload)), None)


def _items(rest: Rest, path: str) -> list[dict[str, Any]]:
    """A page; empty where a service is not there yet, or no device can have such an id."""
    try:
        return list(rest.ask("GET", path)["items"])
    except RestRefused as error:
        if error.status in (_WRONG, *_NOT_YET):
            return []
        raise NotReadyError(f"the message was acknowledged, but what became of it cannot be asked: {error}") from error


def _why(rejection: dict[str, Any], reading: SentReading) -> str:
    hint = _HINTS.get(rejection["code"], "the console's page Rejected shows the message")
    return f"rejected ({rejection['code']}): {rejection['message']}; {hint.format(esp=reading.esp_id)}"
