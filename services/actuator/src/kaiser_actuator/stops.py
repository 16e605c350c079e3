"""The emergency stops in force: in NATS KV, in memory, and on their way to devices; no database in between."""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

import structlog
from kaiser_common.bucket import BucketWriter
from kaiser_common.bus import Bus, Outgoing
from kaiser_common.mirror import Mirror
from kaiser_common.schemas.api.actuators import Emergency
from kaiser_common.schemas.device import DeviceRecord
from kaiser_common.subjects import OUTBOX, commands_filter
from nats.errors import Error as NatsError

from kaiser_actuator import metrics, outgoing
from kaiser_actuator.emergencies import key_of, of_device

log = structlog.get_logger()

_CLEAR_BATCH = 500


class Stops(Mapping[str, Emergency]):
    """Raises, repeats and takes back stops. The bucket is what counts: every replica mirrors it, a restart reads it.

    Killed between the OUTBOX and the bucket: the caller got no answer and the devices are stopped all the same.
    """

    def __init__(
        self,
        bus: Bus,
        bucket: BucketWriter,
        mirror: Mirror[Emergency],
        devices: Mapping[str, DeviceRecord],
        now_ms: Callable[[], int],
    ) -> None:
        self._bus = bus
        self._bucket = bucket
        self._mirror = mirror
        self._devices = devices
        self._now_ms = now_ms
        self._raised: dict[str, Emergency] = {}
        """Ours, until the mirror has them."""
        mirror.on_change(self._on_change)

    def __getitem__(self, key: str) -> Emergency:
        return self._raised[key] if key in self._raised else self._mirror[key]

    def __iter__(self) -> Iterator[str]:
        return iter({**self._mirror, **self._raised})

    def __len__(self) -> int:
        return len({**self._mirror, **self._raised})

    async def raise_(self, stop: Emergency) -> Emergency:
        """Stop: on the OUTBOX's urgent lane and in the bucket, both on disk when this returns. The stop in force is
        the older one where there is one; the devices are told again all the same.

        BusUnavailable, NatsError: it may not be safe on disk, ask again; this replica refuses commands meanwhile.
        """
        started = time.perf_counter()
        key = key_of(stop.esp_id, stop.gpio)
        stop = self.get(key, stop)
        self._raised[key] = stop
        metrics.EMERGENCIES.set(len(self))
        outcomes = await asyncio.gather(
            self.tell(stop, "raised"),
            self._bucket.put(key, stop.model_dump_json().encode()),
            return_exceptions=True,
        )
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome
        metrics.STOP_SECONDS.observe(time.perf_counter() - started)
        log.warning("emergency_raised", key=key, by=stop.raised_by, reason=stop.reason)
        return stop

    async def tell(self, stop: Emergency, why: str) -> None:
        """Send a stop ahead of all that waits. A device that is not in the registry is told nothing."""
        message = self._message(stop, why, urgent=True)
        if message is not None:
            await self._bus.publish_batch([message])
            metrics.STOPS.labels(why).inc()

    async def follow(self, stop: Emergency) -> None:
        """Purge once more, for what was admitted meanwhile, and send the stop again behind all that ingest may hold."""
        await self.purge(stop)
        message = self._message(stop, "behind", urgent=False)
        if message is not None:
            await self._bus.publish_batch([message])

    async def purge(self, stop: Emergency) -> None:
        """Take the commands off the OUTBOX that a stop covers."""
        try:
            await self._bus.jetstream.purge_stream(OUTBOX.name, subject=commands_filter(stop.esp_id, stop.gpio))
        except (NatsError, TimeoutError) as error:
            log.warning("commands_not_purged", key=key_of(stop.esp_id, stop.gpio), error=str(error))

    async def greet(self, esp_id: str) -> None:
        """Tell a device that came online of every stop that covers it."""
        device = self._devices.get(esp_id)
        stops = of_device(self.values(), esp_id) if device else []
        if device is None or not stops:
            return
        occasion = f"online-{self._now_ms() // 5000}"
        await self._bus.publish_batch([outgoing.stop_message(each, device, self._now_ms(), occasion) for each in stops])
        metrics.STOPS.labels("online").inc(len(stops))
        log.info("emergency_sent_again", esp_id=esp_id, stops=len(stops))

    async def take_back(self, stop: Emergency, reason: str) -> None:
        """Delete a stop from the bucket, then let its devices go on; what else stops them is sent again behind it."""
        key = key_of(stop.esp_id, stop.gpio)
        await self.forget(key)
        concerned = (
            list(self._devices.values())
            if stop.esp_id is None
            else [device for device in [self._devices.get(stop.esp_id)] if device]
        )
        messages = [message for device in concerned for message in self._release(device, stop, reason)]
        for start in range(0, len(messages), _CLEAR_BATCH):
            await self._bus.publish_batch(messages[start : start + _CLEAR_BATCH])
        log.warning("emergency_cleared", key=key, reason=reason)

    async def forget(self, key: str) -> None:
        """Delete a stop from the bucket and from memory."""
        await self._bucket.delete(key)
        self._raised.pop(key, None)

    async def keep(self, key: str, stop: Emergency) -> None:
        """Put a stop into the bucket that the table knows and the bucket has lost."""
        await self._bucket.put(key, stop.model_dump_json().encode())

    def _release(self, device: DeviceRecord, stop: Emergency, reason: str) -> Sequence[Outgoing]:
        now_ms = self._now_ms()
        still = [each for each in of_device(self.values(), device.esp_id) if each.emergency_id != stop.emergency_id]
        again = [outgoing.stop_message(each, device, now_ms, f"after-{now_ms}") for each in still]
        if any(each.gpio is None for each in still):
            return again  # a wider stop holds it all the same
        return [outgoing.clear_message(device, reason, now_ms, f"{stop.emergency_id}-{now_ms}"), *again]

    def _message(self, stop: Emergency, why: str, *, urgent: bool) -> Outgoing | None:
        now_ms = self._now_ms()
        if stop.esp_id is None:
            return outgoing.stop_message(stop, None, now_ms, f"{why}-{now_ms}", urgent=urgent)
        device = self._devices.get(stop.esp_id)
        if device is None:
            return None
        return outgoing.stop_message(stop, device, now_ms, f"{why}-{now_ms}", urgent=urgent)

    def _on_change(self, key: str, stop: Emergency | None) -> None:
        if stop is not None:
            self._raised.pop(key, None)
        metrics.EMERGENCIES.set(len(self))
