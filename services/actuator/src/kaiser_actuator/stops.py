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
from kaiser_actuator.addresses import Address, Addresses
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
        self.addresses = Addresses(devices)
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
        """Send a stop ahead of all that waits, to a device that the registry does not have too."""
        await self._bus.publish_batch(self._messages(stop, why, urgent=True))
        metrics.STOPS.labels(why).inc()

    async def follow(self, stop: Emergency) -> None:
        """Purge once more, for what was admitted meanwhile, and send the stop again behind all that ingest may hold."""
        await self.purge(stop)
        await self._bus.publish_batch(self._messages(stop, "behind", urgent=False))

    async def purge(self, stop: Emergency) -> None:
        """Take the commands off the OUTBOX that a stop covers."""
        try:
            await self._bus.jetstream.purge_stream(OUTBOX.name, subject=commands_filter(stop.esp_id, stop.gpio))
        except (NatsError, TimeoutError) as error:
            log.warning("commands_not_purged", key=key_of(stop.esp_id, stop.gpio), error=str(error))

    async def greet(self, esp_id: str) -> None:
        """Tell a device that came online of every stop that covers it."""
        stops = of_device(self.values(), esp_id)
        if not stops:
            return
        occasion = f"online-{self._now_ms() // 5000}"
        await self._bus.publish_batch([self._own(each, esp_id, occasion, urgent=True) for each in stops])
        metrics.STOPS.labels("online").inc(len(stops))
        log.info("emergency_sent_again", esp_id=esp_id, stops=len(stops))

    async def take_back(self, stop: Emergency, reason: str) -> None:
        """Delete a stop from the bucket, then let its devices go on; what else stops them is sent again behind it."""
        key = key_of(stop.esp_id, stop.gpio)
        await self.forget(key)
        concerned = self.addresses.all() if stop.esp_id is None else [self.addresses.of(stop.esp_id)]
        messages = [message for address in concerned for message in self._release(address, stop, reason)]
        for start in range(0, len(messages), _CLEAR_BATCH):
            await self._bus.publish_batch(messages[start : start + _CLEAR_BATCH])
        log.warning("emergency_cleared", key=key, reason=reason)

    async def forget(self, key: str) -> None:
        """Delete a stop from the bucket and from memory; back once the mirror knows, within a second."""
        await self._bucket.delete(key)
        self._raised.pop(key, None)
        for _ in range(100):
            if key not in self._mirror:
                return
            await asyncio.sleep(0.01)

    async def keep(self, key: str, stop: Emergency) -> None:
        """Put a stop into the bucket that the table knows and the bucket has lost."""
        await self._bucket.put(key, stop.model_dump_json().encode())

    def _release(self, address: Address, stop: Emergency, reason: str) -> Sequence[Outgoing]:
        occasion = f"after-{self._now_ms()}"
        still = [each for each in of_device(self.values(), address.esp_id) if each.emergency_id != stop.emergency_id]
        again = [self._own(each, address.esp_id, occasion, urgent=True) for each in still]
        if stop.gpio is not None or any(each.gpio is None for each in still):
            return again  # one actuator is locked by Kaiser alone, and a wider stop holds the device all the same
        return [outgoing.clear_message(address, stop, reason, self._now_ms(), occasion), *again]

    def _messages(self, stop: Emergency, why: str, *, urgent: bool) -> list[Outgoing]:
        """All that a stop puts on the OUTBOX: everything by broadcast first, then each device by its own topic, for
        firmware B refuses the broadcast where it has no token."""
        occasion = f"{why}-{self._now_ms()}"
        if stop.esp_id is not None:
            return [self._own(stop, stop.esp_id, occasion, urgent=urgent)]
        own = [self._own(stop, each.esp_id, occasion, urgent=urgent) for each in self.addresses.all()]
        return [outgoing.broadcast_message(stop, self._now_ms(), occasion, urgent=urgent), *own]

    def _own(self, stop: Emergency, esp_id: str, occasion: str, *, urgent: bool) -> Outgoing:
        """What a stop is to one device: its emergency, or OFF where it is about one actuator."""
        address, now_ms = self.addresses.of(esp_id), self._now_ms()
        if stop.gpio is not None:
            return outgoing.off_message(address, stop.gpio, stop, now_ms, occasion, urgent=urgent)
        return outgoing.stop_message(address, stop, now_ms, occasion, urgent=urgent)

    def _on_change(self, key: str, stop: Emergency | None) -> None:
        if stop is not None:
            self._raised.pop(key, None)
        metrics.EMERGENCIES.set(len(self))
