"""Answers requests about broker profiles and the environment of the factory."""

import structlog
from kaiser_common.bus.rpc import Caller, Nothing, RpcError
from kaiser_common.contract.errors import Code
from kaiser_common.contract.schemas.api.factory import EnvironmentStatus
from kaiser_common.contract.schemas.api.system import MqttProfiles, SwitchProfile

from kaiser_ingest.consumers.session import Session, SwitchFailed
from kaiser_ingest.store.environments import Environments, EnvironmentUnknown

log = structlog.get_logger()


class ProfilesApi:
    """Shows and switches the broker profile of the session."""

    def __init__(self, session: Session, environments: Environments | None) -> None:
        self._session = session
        self._environments = environments

    async def profiles(self, _: Nothing, __: Caller) -> MqttProfiles:
        """The profiles that are set, and the active one."""
        session = self._session
        return MqttProfiles(active=session.active, profiles=sorted(session.profiles))

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
            raise RpcError(404, Code.BROKER_UNAVAILABLE, f"no MQTT profile {request.profile!r}", "profile")
        self._check_arm(request)
        log.info("profile_switch_asked", profile=request.profile, user=caller.user, arm=request.arm is not None)
        try:
            await self._session.switch(request.profile)
            if self._environments is not None:
                await self._environments.arm(armed=request.arm is not None)
        except SwitchFailed as error:
            raise RpcError(502, Code.BROKER_UNAVAILABLE, f"profile {request.profile}: {error}") from error
        except EnvironmentUnknown as error:
            raise RpcError(503, Code.DEPENDENCY_MISSING, f"profile {request.profile}: {error}") from error
        return await self.profiles(Nothing(), caller)

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
