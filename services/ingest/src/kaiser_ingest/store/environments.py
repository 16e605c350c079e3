"""The environment of the factory: the broker profile in force, its kind, and an epoch that grows at every switch."""

import asyncio
import time

import structlog
from kaiser_common.bus.connection import Bus, BusUnavailable
from kaiser_common.contract.schemas.factory import EnvironmentKind, FactoryEnvironment
from kaiser_common.contract.subjects import INGEST_BUCKET, TOPICS
from nats.errors import Error as NatsError
from nats.js.errors import KeyNotFoundError, KeyWrongLastSequenceError
from pydantic import ValidationError

log = structlog.get_logger()

KEY = "environment"
_TIMEOUT_S = 3.0
_TRIES = 3


class EnvironmentUnknown(Exception):
    """The environment in force could not be read from NATS, or its topics could not be purged, so no environment can be
    entered."""


class Environments:
    """Reads and writes the key `environment` of the bucket `ingest`.

    The key is written by compare-and-set, so two processes never give one epoch to two environments. Killed between
    the write and the connection: the next process finds the environment entered and connects to it. A bucket that was
    deleted and declared again gets the environment that this process entered, with its epoch.
    """

    def __init__(self, bus: Bus, site: str = "", *, leads: bool = True) -> None:
        """leads: the factory speaks at this site's broker. A site that only observes its devices enters an environment
        where no other site has entered one; otherwise its messages go beside the other's, and its switches are its own.
        """
        self._bus = bus
        self._site = site
        self._leads = leads
        self.current: FactoryEnvironment | None = None

    async def enter(self, env: str, kind: EnvironmentKind, broker: str, *, anew: bool = False) -> FactoryEnvironment:
        """Enter the environment of this name, with a new epoch unless it is in force already; with `anew`, always with
        a new epoch. Raises EnvironmentUnknown."""
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                for _ in range(_TRIES):
                    entered = await self._try(env, kind, broker, anew=anew)
                    if entered is not None:
                        self.current = entered
                        return entered
        except (NatsError, OSError, TimeoutError) as error:
            raise EnvironmentUnknown(str(error) or type(error).__name__) from error
        raise EnvironmentUnknown("another process enters environments at the same time")

    async def forget_topics(self, env: str) -> None:
        """Purge an environment's messages from TOPICS, so that a mock factory or a replay starts empty.

        Raises EnvironmentUnknown.
        """
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                await self._bus.jetstream.purge_stream(TOPICS.name, subject=f"topic.{env}.>")
        except (NatsError, OSError, TimeoutError) as error:
            raise EnvironmentUnknown(str(error) or type(error).__name__) from error

    async def arm(self, *, armed: bool) -> None:
        """Allow commands to be sent in the current replay, or stop allowing them. Raises EnvironmentUnknown."""
        before = self.current
        if before is None or before.armed is armed:
            return
        after = before.model_copy(update={"armed": armed})
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                bucket = await self._bus.jetstream.key_value(INGEST_BUCKET.name)
                entry = await bucket.get(KEY)
                if _read(entry.value or b"") != before:
                    raise EnvironmentUnknown("the environment is being switched")
                await bucket.update(KEY, after.model_dump_json().encode(), last=entry.revision)
        except (NatsError, OSError, TimeoutError) as error:
            raise EnvironmentUnknown(str(error) or type(error).__name__) from error
        self.current = after
        log.warning("factory_replay_armed" if armed else "factory_replay_disarmed", env=after.env, epoch=after.epoch)

    async def restore(self) -> None:
        """Write the environment in force if the bucket has none. Raises BusUnavailable."""
        current = self._entered_here()
        if current is None:
            return
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                bucket = await self._bus.jetstream.key_value(INGEST_BUCKET.name)
                await bucket.create(KEY, current.model_dump_json().encode())
        except KeyWrongLastSequenceError:
            return
        except (NatsError, OSError, TimeoutError) as error:
            raise BusUnavailable(f"the environment in force: {str(error) or type(error).__name__}") from error
        log.warning("factory_environment_restored", env=current.env, epoch=current.epoch)

    def _entered_here(self) -> FactoryEnvironment | None:
        """The environment in force if this site entered it."""
        return self.current if self.current is not None and self.current.site == self._site else None

    async def _try(self, env: str, kind: EnvironmentKind, broker: str, *, anew: bool) -> FactoryEnvironment | None:
        """None: another process was faster."""
        bucket = await self._bus.jetstream.key_value(INGEST_BUCKET.name)
        before, revision = None, 0
        try:
            entry = await bucket.get(KEY)
        except KeyNotFoundError:
            before = self._entered_here()
        else:
            before, revision = _read(entry.value or b""), entry.revision or 0
        since = int(time.time() * 1000)
        if before is not None and not self._leads and before.site not in ("", self._site):
            return FactoryEnvironment(env=env, kind=kind, epoch=before.epoch, broker=broker, since=since)
        if before is not None and (before.env, before.kind, before.broker) == (env, kind, broker) and not anew:
            if before.site == self._site and revision:
                return before
            entered = before.model_copy(update={"site": self._site})
        else:
            epoch = 1 if before is None else before.epoch + 1
            entered = FactoryEnvironment(env=env, kind=kind, epoch=epoch, broker=broker, since=since, site=self._site)
        body = entered.model_dump_json().encode()
        try:
            await (bucket.update(KEY, body, last=revision) if revision else bucket.create(KEY, body))
        except KeyWrongLastSequenceError:
            return None
        log.info("factory_environment_entered", env=env, kind=kind, epoch=entered.epoch)
        return entered


def _read(value: bytes) -> FactoryEnvironment | None:
    try:
        return FactoryEnvironment.model_validate_json(value)
    except ValidationError as error:
        log.error("environment_unreadable", error=str(error))
        return None
