"""The system as a whole: which MQTT broker is in use, answered by ingest."""

from fastapi import APIRouter
from kaiser_common.bus.connection import Bus
from kaiser_common.bus.rpc import Caller, call
from kaiser_common.contract.rpc import Nothing
from kaiser_common.contract.schemas.api.system import MqttProfiles, SwitchProfile

from kaiser_gateway.http.auth import Guard

_SWITCH_WITHIN_S = 75.0
"""A switch drains, waits 30 s for the new broker, and returns to the old one where that does not come up."""


def router(bus: Bus, guard: Guard) -> APIRouter:
    """/api/v1/system."""
    routes = APIRouter(prefix="/api/v1/system", tags=["system"])
    viewer, admin = guard.needs("viewer"), guard.needs("admin")

    @routes.get("/mqtt/profile")
    async def list_mqtt_profiles(caller: Caller = viewer) -> MqttProfiles:
        """The MQTT broker profiles and the active one."""
        return await call(bus, "ingest", "mqtt_profiles", Nothing(), MqttProfiles, caller=caller)

    @routes.post("/mqtt/profile")
    async def switch_mqtt_profile(body: SwitchProfile, caller: Caller = admin) -> MqttProfiles:
        """Activate another profile; 502 with the reason if its broker does not come up within 30 s."""
        return await call(
            bus, "ingest", "switch_profile", body, MqttProfiles, caller=caller, timeout_s=_SWITCH_WITHIN_S
        )

    return routes
