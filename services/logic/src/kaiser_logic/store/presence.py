"""When devices were away, from the registry in the KV bucket `devices`."""

from kaiser_common.bus.connection import Bus
from kaiser_common.bus.mirror import Mirror
from kaiser_common.contract.schemas.device import DeviceRecord
from kaiser_common.contract.subjects import DEVICES_BUCKET

from kaiser_logic.domain.readings import Away


def presence(bus: Bus) -> Mirror[Away]:
    """By device. Run `keep` as a task; after a restart, or an outage of the bus, all of it is read again."""
    return Mirror(bus, DEVICES_BUCKET, away_of)


def away_of(body: bytes) -> Away:
    """When the device of a record was away. ValidationError if it is not a record. One of a version without `away_at`
    has the time of the device's last message."""
    record = DeviceRecord.model_validate_json(body)
    at = record.offline_since if record.away_at is None and not record.online else record.away_at
    return Away(at, record.offline_since, record.online)
