"""Numbers stops and clears in one growing sequence: the revision in the bucket of stops, plus a base that grows."""

from datetime import datetime

from kaiser_common.bus.bucket import BucketWriter
from kaiser_common.bus.connection import Bus
from kaiser_common.bus.mirror import Mirror
from kaiser_common.contract.schemas.api.actuators import Emergency
from kaiser_common.contract.subjects import EMERGENCIES_BUCKET

from kaiser_actuator.domain.emergency_core import Held, stamped

_BASE_SHIFT = 24
_SINCE_S = 1_577_836_800


class Numbers:
    """The base added to a revision: the second in which the bucket was created, in the upper bits. A bucket that was
    deleted and declared again counts from 1, but its numbers are still greater."""

    def __init__(self, created: datetime | None = None) -> None:
        self._created = created
        self.base = _base(created)

    @classmethod
    async def of(cls, bucket: BucketWriter) -> "Numbers":
        """Raises nats errors when NATS is away or the bucket is missing."""
        return cls(await bucket.made_at())

    async def changed(self, bucket: BucketWriter) -> bool:
        """Ask whether the bucket is another one by now; its numbers count from then on. Raises as `of`."""
        created = await bucket.made_at()
        if created == self._created:
            return False
        self._created, self.base = created, _base(created)
        return True


def open_board(bus: Bus, numbers: Numbers) -> Mirror[Held]:
    """The bucket of stops, each with its revision and number."""
    return Mirror(
        bus,
        EMERGENCIES_BUCKET,
        lambda body: Held(Emergency.model_validate_json(body), 0, 0),
        stamp=lambda held, revision: stamped(held.stop, revision, numbers.base),
    )


def _base(created: datetime | None) -> int:
    """Never below 0: if a wrong clock had dated the bucket before 2020, ingest would treat its clears as older than
    every stop."""
    return 0 if created is None else max(0, int(created.timestamp()) - _SINCE_S) << _BASE_SHIFT
