"""A KV bucket of stops and the mirrors of it, whose calls wait until a test lets them go on."""

from collections.abc import Callable

from interleaved_world import Gates
from kaiser_actuator.domain.emergency_core import Held, stamped
from kaiser_common.contract.schemas.api.actuators import Emergency
from nats.errors import TimeoutError as NatsTimeoutError


class Bucket:
    """A KV bucket: one sequence of revisions, compare-and-set."""

    def __init__(self, gates: Gates) -> None:
        self.gates = gates
        self.revision = 0
        self.now: dict[str, tuple[int, bytes | None]] = {}
        self.log: list[tuple[str, int, bytes | None]] = []
        self.deleted: list[str] = []
        self.ids: dict[str, dict[str, int]] = {}
        self.failures: list[bool] = []
        """Of the next writes those that get no answer: True for one that is stored all the same."""

    def _write(self, key: str, value: bytes | None) -> int:
        self.revision += 1
        if value is None:
            if (before := self.now[key][1]) is not None:
                self.deleted.append(Emergency.model_validate_json(before).emergency_id)
        else:
            stop = Emergency.model_validate_json(value)
            known = self.ids.setdefault(key, {})
            known[stop.emergency_id] = (
                self.revision if stop.clearing is None else known.get(stop.emergency_id, self.revision)
            )
        self.now[key] = (self.revision, value)
        self.log.append((key, self.revision, value))
        return self.revision

    async def put(self, key: str, value: bytes) -> int:
        await self.gates.wait()
        if self.failures:
            if self.failures.pop():
                self._write(key, value)
            raise NatsTimeoutError
        revision = self._write(key, value)
        await self.gates.wait()
        return revision

    async def replace(self, key: str, value: bytes, revision: int) -> int | None:
        await self.gates.wait()
        current, held = self.now.get(key, (0, None))
        if (held is not None) if revision == 0 else current != revision:
            return None
        return self._write(key, value)

    async def delete_revision(self, key: str, revision: int) -> bool:
        await self.gates.wait()
        if self.now.get(key, (0, None))[0] != revision:
            return False
        self._write(key, None)
        return True

    async def made_at(self) -> None:
        return None

    def stops(self) -> dict[str, Emergency]:
        return {key: Emergency.model_validate_json(value) for key, (_, value) in self.now.items() if value is not None}


class Mirror(dict[str, Held]):
    """The part of the bucket that a replica has read."""

    def __init__(self, bucket: Bucket) -> None:
        super().__init__()
        self.bucket = bucket
        self.at = 0
        self.revisions: dict[str, int] = {}
        self.callbacks: list[Callable[[str, Held | None], None]] = []
        self.catch_up()

    @property
    def position(self) -> int:
        return self.bucket.log[self.at - 1][1] if self.at else 0

    def on_change(self, callback: Callable[[str, Held | None], None]) -> None:
        self.callbacks.append(callback)

    def revision(self, key: str) -> int:
        return self.revisions.get(key, 0)

    def step(self) -> None:
        if self.at == len(self.bucket.log):
            return
        key, revision, value = self.bucket.log[self.at]
        self.at += 1
        self.revisions[key] = revision
        held: Held | None = None
        if value is None:
            self.pop(key, None)
        else:
            held = self[key] = stamped(Emergency.model_validate_json(value), revision, 0)
        for callback in self.callbacks:
            callback(key, held)

    def catch_up(self) -> None:
        while self.at < len(self.bucket.log):
            self.step()
