"""Which valid messages are taken: of registered devices, under their site, and not older than what is kept; pure."""

from collections.abc import Mapping

from kaiser_common.contract.errors import Code
from kaiser_common.contract.schemas.sensor import Reading
from kaiser_common.contract.topics import Kind, is_downlink

from kaiser_ingest.domain.validate import Accepted, Outcome, Rejection

Registered = Mapping[str, str | None]
"""The devices that are registered and approved, each with the site that it must speak under, or None for any."""

ALWAYS_PASS = frozenset({Kind.HEARTBEAT, Kind.SESSION, Kind.DISCOVERY})
"""Kinds that pass for devices which are not registered yet: health makes them pending."""


def admit(outcomes: tuple[Outcome, ...], registered: Registered, oldest_ms: int, payload: bytes) -> tuple[Outcome, ...]:
    """The outcomes of one message, refused where they must be.

    5001 where its device is not registered and approved, 5211 where it speaks under another site than the registered
    one: then the message is rejected as a whole. 5207 for a reading from before oldest_ms, alone.
    """
    if len(outcomes) == 1 and type(outcomes[0]) is Rejection:
        return outcomes
    for outcome in outcomes:
        if type(outcome) is Accepted and not is_downlink(outcome.kind):
            refused = _refused(outcome, registered, payload)
            if refused is not None:
                return (refused,)
    return tuple(_not_too_old(outcome, oldest_ms, payload) for outcome in outcomes)


def _refused(accepted: Accepted, registered: Registered, payload: bytes) -> Rejection | None:
    esp_id = accepted.esp_id
    if esp_id not in registered:
        if accepted.kind in ALWAYS_PASS:
            return None
        detail = f"device {esp_id} is not registered and approved"
        return Rejection(Code.ESP_DEVICE_NOT_FOUND, detail, "esp_id", esp_id, payload, accepted.kind)
    site = registered[esp_id]
    if site is not None and site != accepted.kaiser_id and accepted.kind is not Kind.SESSION:
        detail = f"device {esp_id} is registered with site {site} and speaks under {accepted.kaiser_id}"
        return Rejection(Code.TOPIC_MISMATCH, detail, "kaiser_id", esp_id, payload, accepted.kind)
    return None


def _not_too_old(outcome: Outcome, oldest_ms: int, payload: bytes) -> Outcome:
    if type(outcome) is not Accepted or type(outcome.message) is not Reading or outcome.message.ts >= oldest_ms:
        return outcome
    detail = "ts is older than the retention"
    return Rejection(Code.VALUE_OUT_OF_RANGE, detail, "ts", outcome.esp_id, payload, outcome.kind)
