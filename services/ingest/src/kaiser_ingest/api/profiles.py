"""Answers requests about broker profiles and the environment of the factory."""

import structlog
from kaiser_common.bus.rpc import Caller, RpcError
from kaiser_common.contract.errors import Code
from kaiser_common.contract.rpc import Nothing
from kaiser_common.contract.schemas.api.factory import EnvironmentStatus, RestartEnvironment
from kaiser_common.contract.schemas.api.system import MqttProfiles, SwitchProfile
from kaiser_common.contract.schemas.factory import FactoryEnvironment

from kaiser_ingest.consumers.session import MqttSession, SwitchFailed
from kaiser_ingest.store.environments import Environments, EnvironmentUnknown

log = structlog.get_logger()


class ProfilesApi:
    """Shows and switches the broker profile of the session."""

    def __init__(self, session: MqttSession, environments: Environments | None) -> None:
        self._session = session
        self._environments = environments

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
        """Answers once the new broker is up; 502 with the reason if it is not within 30 s."""
        if request.profile not in self._session.profiles:
            raise RpcError(404, Code.NOT_FOUND, f"no MQTT profile {request.profile!r}", "profile")
        self._check_arm(request)
        log.info("profile_switch_requested", profile=request.profile, user=caller.user, arm=request.arm is not None)
        try:
            await self._session.switch(request.profile)
            if self._environments is not None:
                await self._environments.arm(armed=request.arm is not None)
        except SwitchFailed as error:
            raise RpcError(502, Code.BROKER_UNAVAILABLE, f"profile {request.profile}: {error}") from error
        except EnvironmentUnknown as error:
            raise RpcError(503, Code.DEPENDENCY_MISSING, f"profile {request.profile}: {error}") from error
        return await self.profiles(Nothing(), caller)

    async def restart(self, request: RestartEnvironment, caller: Caller) -> FactoryEnvironment:
        """Enter the environment in force once more. RpcError 409: it is another one by now, or live; 502 with the
        reason where its broker does not come up within 30 s."""
        environments = self._environments
        found = environments.current if environments is not None else None
        if environments is None or found is None:
            raise RpcError(503, Code.BROKER_UNAVAILABLE, "no environment of the factory is in force")
        if (found.env, found.epoch) != (request.env, request.epoch) or found.kind == "live":
            text = f"the environment in force is {found.env} ({found.kind}, epoch {found.epoch})"
            raise RpcError(409, Code.PERMISSION_DENIED, text, "env")
        self._check_arm(SwitchProfile(profile=request.env, arm=request.arm))
        log.info("environment_restart_requested", env=request.env, user=caller.user, arm=request.arm is not None)
        try:
            await self._session.restart(request.env)
            await environments.arm(armed=request.arm is not None)
        except SwitchFailed as error:
            raise RpcError(502, Code.BROKER_UNAVAILABLE, f"environment {request.env}: {error}") from error
        except EnvironmentUnknown as error:
            raise RpcError(503, Code.DEPENDENCY_MISSING, f"environment {request.env}: {error}") from error
        return environments.current or found

    async def disarm(self, _: Nothing, __: Caller) -> Nothing:
        """Let no command go out in the replay in force. RpcError 503: NATS does not take that."""
        if self._environments is not None:
            try:
                await self._environments.arm(armed=False)
            except EnvironmentUnknown as error:
                raise RpcError(503, Code.DEPENDENCY_MISSING, str(error)) from error
        return Nothing()

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
