"""Answers requests about broker profiles and the environment of the factory."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from kaiser_common.bus.rpc import Caller, RpcError
from kaiser_common.bus.turns import TURN_WITHIN_S, turn_of
from kaiser_common.contract.errors import Code
from kaiser_common.contract.rpc import Nothing
from kaiser_common.contract.schemas.api.factory import EnvironmentStatus, RestartEnvironment
from kaiser_common.contract.schemas.api.system import MqttProfiles, SwitchProfile
from kaiser_common.contract.schemas.factory import FactoryEnvironment

from kaiser_ingest.consumers.session import MqttSession, SwitchFailed
from kaiser_ingest.store.environments import Environments, EnvironmentUnknown

log = structlog.get_logger()


class ProfilesApi:
    """Shows and switches the broker profile of the session.

    A switch and the arming after it are one turn: no other environment is entered between them. Killed between them:
    the environment is entered, and not armed.
    """

    def __init__(self, session: MqttSession, environments: Environments | None, waits_s: float = TURN_WITHIN_S) -> None:
        """waits_s: for how long a switch waits for the end of another one."""
        self._session = session
        self._waits_s = waits_s
        self._environments = environments
        self._switching = asyncio.Lock()
        self._disarmed = 0
        """How often it was disarmed; once more during a switch, and that switch arms nothing."""

    async def profiles(self, _: Nothing, __: Caller) -> MqttProfiles:
        """The profiles that are set, and the active one."""
        session = self._session
        address = session.profiles[session.active].address
        return MqttProfiles(active=session.active, address=address, profiles=sorted(session.profiles))

    async def environment(self, _: Nothing, __: Caller) -> EnvironmentStatus:
        """The factory's environment. RpcError 404: the dialect is off; 503: none was entered yet."""
        if self._environments is None:
            raise RpcError(404, Code.PROCESSING_FAILED, "the factory's dialect is disabled: set KAISER_MQTT_DIALECTS")
        found, session = self._environments.current, self._session
        if found is None:
            raise RpcError(503, Code.BROKER_UNAVAILABLE, "no environment of the factory is in force yet")
        return EnvironmentStatus(
            env=found.env,
            kind=found.kind,
            epoch=found.epoch,
            broker=found.broker,
            since=found.since,
            armed=found.armed,
            connected_since=session.connected_since,
            client_id=session.client_id(),
            session_present=session.session_present,
            profiles=sorted(session.profiles),
        )

    async def switch(self, request: SwitchProfile, caller: Caller) -> MqttProfiles:
        """Answers once the new broker is up. RpcError 502 with the reason: it is not within 30 s; 503: another switch
        goes on for longer than 3 s."""
        if request.profile not in self._session.profiles:
            raise RpcError(404, Code.NOT_FOUND, f"no MQTT profile {request.profile!r}", "profile")
        self._check_arm(request)
        log.info("profile_switch_requested", profile=request.profile, user=caller.user, arm=request.arm is not None)
        async with self._entering(f"profile {request.profile}", armed=request.arm is not None):
            await self._session.switch(request.profile)
        return await self.profiles(Nothing(), caller)

    async def restart(self, request: RestartEnvironment, caller: Caller) -> FactoryEnvironment:
        """Enter the environment in force once more. RpcError 409: it is another one by now, or live; 502 with the
        reason where its broker does not come up within 30 s; 503: another switch goes on for longer than 3 s."""
        environments = self._environments
        found = environments.current if environments is not None else None
        if environments is None or found is None:
            raise RpcError(503, Code.BROKER_UNAVAILABLE, "no environment of the factory is in force")
        if (found.env, found.epoch) != (request.env, request.epoch) or found.kind == "live":
            text = f"the environment in force is {found.env} ({found.kind}, epoch {found.epoch})"
            raise RpcError(409, Code.PERMISSION_DENIED, text, "env")
        self._check_arm(SwitchProfile(profile=request.env, arm=request.arm))
        log.info("environment_restart_requested", env=request.env, user=caller.user, arm=request.arm is not None)
        async with self._entering(f"environment {request.env}", armed=request.arm is not None):
            await self._session.restart(request.env)
        return environments.current or found

    async def disarm(self, _: Nothing, __: Caller) -> Nothing:
        """Let no command go out in the replay in force, nor in the one that is being entered. RpcError 503: NATS does
        not take that."""
        self._disarmed += 1
        if self._environments is not None:
            try:
                await self._environments.arm(armed=False)
            except EnvironmentUnknown as error:
                raise RpcError(503, Code.DEPENDENCY_MISSING, str(error)) from error
        return Nothing()

    @asynccontextmanager
    async def _entering(self, what: str, *, armed: bool) -> AsyncIterator[None]:
        """The turn in which an environment is entered; at its end it is armed, or disarmed."""
        async with turn_of(self._switching, f"{what}: another switch goes on", self._waits_s):
            before = self._disarmed
            try:
                yield
                if self._environments is not None:
                    await self._environments.arm(armed=armed and self._disarmed == before)
            except SwitchFailed as error:
                raise RpcError(502, Code.BROKER_UNAVAILABLE, f"{what}: {error}") from error
            except EnvironmentUnknown as error:
                raise RpcError(503, Code.DEPENDENCY_MISSING, f"{what}: {error}") from error

    def _check_arm(self, request: SwitchProfile) -> None:
        """RpcError 422: arm is not the name of the profile; 409 (5405): it is no replay."""
        if request.arm is None:
            return
        if request.arm != request.profile:
            raise RpcError(422, Code.VALUE_OUT_OF_RANGE, "arm must repeat the name of the profile", "arm")
        kind = self._session.profiles[request.profile].kind_of(request.profile)
        if self._environments is None or kind != "replay":
            raise RpcError(
                409, Code.PERMISSION_DENIED, f"{request.profile} is not a replay environment of the factory", "arm"
            )
