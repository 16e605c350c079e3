"""The configuration of all models on the bus (frozen, unknown fields ignored), and the base of device messages."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from kaiser_common.contract.bounds import DeviceTime, Id, Instant

FROZEN = ConfigDict(frozen=True, extra="ignore")
"""Config of every model on the bus: messages only grow by optional fields, so a reader skips what it does not know."""

Clock = Literal["device", "server"]
"""The clock that gave ts: `server` where the device had no time yet and ingest's receive time stands in."""


class DeviceMessage(BaseModel):
    """A message of a device, normalised: ts and received_at in ms since 1970, received_at by ingest's clock.

    device_ts: what the device gave as its time where that was not believed and received_at stands in (clock `server`).
    replayed: it was rejected at first and let through by hand later; received_at is still that of its receipt.
    """

    model_config = FROZEN

    kaiser_id: Id
    esp_id: Id
    ts: Instant
    clock: Clock = "device"
    device_ts: DeviceTime | None = None
    received_at: Instant
    replayed: bool = False
