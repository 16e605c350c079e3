"""Enters the factory environment of a broker profile before any message of that broker can arrive.

Killed in the middle: the next holder enters the environment again, and empties the sandbox if that was not done for
this epoch.
"""

from kaiser_common.bus.connection import BusUnavailable

from kaiser_ingest.domain.factory_dialect import FactoryDialect
from kaiser_ingest.mqtt.connection import ConnectFailed
from kaiser_ingest.mqtt.profiles import Profile
from kaiser_ingest.mqtt.sandbox import empty
from kaiser_ingest.publish import SystemEvents
from kaiser_ingest.store.environments import Environments, EnvironmentUnknown
from kaiser_ingest.store.session_store import SessionStore


class EnvironmentEntry:
    """Enters environments; without the factory's dialect it does nothing."""

    def __init__(
        self,
        factory: FactoryDialect | None,
        environments: Environments | None,
        kept: SessionStore,
        events: SystemEvents,
    ) -> None:
        self._factory = factory
        self._environments = environments
        self._kept = kept
        self._events = events
        self._anew = False

    def begin_anew(self) -> None:
        """The next entry begins a new epoch, in the same environment too."""
        self._anew = True

    async def enter(
        self,
        name: str,
        profile: Profile,
        client_id: str,
        generation: int,
        device_filters: frozenset[str],
        *,
        mqtt5: bool,
    ) -> bool:
        """Enter the environment of a profile for a connection of this generation; whether its sandbox was emptied for
        that. A mock factory and a replay begin with nothing. Raises ConnectFailed."""
        if self._factory is None or self._environments is None:
            return False
        kind = profile.kind_of(name)
        try:
            entered = await self._environments.enter(name, kind, profile.address, anew=self._anew)
            self._anew = False
            self._factory.enter(entered, generation, device_filters)
            if not self._factory.reads:
                return False  # the factory's messages are not kept by this ingest, so it does not forget them
            if (kind == "live" and not profile.sandbox) or await self._kept.emptied(name) == entered.epoch:
                return False
            if kind != "live":
                await self._environments.forget_topics(name)
        except (EnvironmentUnknown, BusUnavailable) as error:
            raise ConnectFailed(f"cannot enter the environment {name}: {error}") from error
        if profile.sandbox:
            await empty(profile, client_id, mqtt5=mqtt5)
        await self._kept.remember_emptied(name, entered.epoch)
        return profile.sandbox

    def report(self) -> None:
        """Publish the environment that is in force as a system event."""
        found = self._environments.current if self._environments is not None else None
        if found is not None and self._factory is not None and self._factory.reads:
            text = f"the factory's environment is {found.env} ({found.kind}), epoch {found.epoch}"
            self._events.report(
                "factory_environment_switched", "info", text, env=found.env, kind=found.kind, epoch=found.epoch
            )
