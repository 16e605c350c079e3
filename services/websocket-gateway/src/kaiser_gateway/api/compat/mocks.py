"""Routes of mock devices, in AutomationOne's form."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query

from kaiser_gateway.api.compat.asking import Given, MockName, Own
from kaiser_gateway.api.compat.own import refused
from kaiser_gateway.domain.compat import devices
from kaiser_gateway.domain.compat.common import Json, done, iso

_ALL = "/debug/mock-esp"
_MOST_MESSAGES = 50


def router() -> APIRouter:
    """/compat/v1/debug/mock-esp."""
    routes = APIRouter(prefix="/compat/v1/debug/mock-esp")
    _add_devices(routes)
    _add_states(routes)
    _add_sensors(routes)
    _add_actuators(routes)
    return routes


def _add_devices(routes: APIRouter) -> None:
    @routes.get("")
    async def list_mocks(own: Own) -> Json:
        zones = await own.zone_names()
        found = [devices.mock(one, zones) for one in await own.every(_ALL)]
        return {"success": True, "data": found, "total": len(found)}

    @routes.post("", status_code=201)
    async def create(body: Given, own: Own) -> Json:
        return devices.mock(await own.ask("POST", _ALL, body=devices.new_mock(body)), await own.zone_names())

    @routes.get("/{esp_id}")
    async def read(mock: MockName, own: Own) -> Json:
        return devices.mock(await own.ask("GET", f"{_ALL}/{mock}"), await own.zone_names())

    @routes.delete("/{esp_id}", status_code=204)
    async def delete(mock: MockName, own: Own) -> None:
        await own.ask("DELETE", f"{_ALL}/{mock}")

    @routes.get("/{esp_id}/messages")
    async def messages(mock: MockName, own: Own, limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> Json:
        query = {"limit": min(limit, _MOST_MESSAGES)}
        found = (await own.ask("GET", f"{_ALL}/{mock}/messages", query=query))["items"]
        shown = [
            {"topic": one["topic"], "payload": {"text": one["payload"]}, "timestamp": iso(one["at"]), "qos": 1}
            for one in found
            if one["direction"] == "sent"
        ]
        return {"success": True, "esp_id": mock, "messages": shown, "total": len(shown)}


def _add_states(routes: APIRouter) -> None:
    @routes.post("/{esp_id}/heartbeat")
    async def heartbeat(mock: MockName, own: Own) -> Json:
        await own.ask("POST", f"{_ALL}/{mock}/heartbeat")
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        return {"success": True, "esp_id": mock, "timestamp": now, "message_published": True}

    @routes.post("/{esp_id}/state")
    async def set_state(mock: MockName, body: Given, own: Own) -> Json:
        wanted = {name: body[name] for name in ("state", "reason") if body.get(name)}
        found = await own.ask("POST", f"{_ALL}/{mock}/state", body=wanted)
        return done(mock, "set_state", state=found["state"])

    @routes.post("/{esp_id}/auto-heartbeat")
    async def set_auto_heartbeat(mock: MockName, own: Own, enabled: bool = True) -> Json:
        await own.ask("GET", f"{_ALL}/{mock}")
        if not enabled:
            raise refused(409, "a mock sends heartbeats while it runs; switch it off in Kaiser's console instead")
        return done(mock, "auto_heartbeat", enabled=True)

    @routes.post("/{esp_id}/emergency-stop")
    async def emergency_stop(mock: MockName, own: Own, reason: str = "manual") -> Json:
        await own.ask("POST", f"{_ALL}/{mock}/emergency", body={"action": "stop_all", "reason": reason[:200]})
        return done(mock, "emergency_stop", reason=reason)

    @routes.post("/{esp_id}/clear-emergency")
    async def clear_emergency(mock: MockName, own: Own) -> Json:
        await own.ask("POST", f"{_ALL}/{mock}/emergency", body={"action": "clear"})
        return done(mock, "clear_emergency")


def _add_sensors(routes: APIRouter) -> None:
    @routes.post("/{esp_id}/sensors")
    async def add_sensor(mock: MockName, body: Given, own: Own) -> Json:
        await own.ask("POST", f"{_ALL}/{mock}/sensors", body=devices.new_sensor(body))
        return done(mock, "add_sensor", gpio=body.get("gpio"))

    @routes.post("/{esp_id}/sensors/batch")
    async def set_values(mock: MockName, body: Given, own: Own) -> Json:
        publish = bool(body.get("publish", True))
        given = body.get("values")
        values = [
            {"gpio": gpio, "value": value, "publish": publish}
            for gpio, value in (given.items() if isinstance(given, dict) else ())
        ]
        await own.ask("POST", f"{_ALL}/{mock}/values", body={"values": values})
        return done(mock, "set_batch_sensor_values", count=len(values))

    @routes.post("/{esp_id}/sensors/{gpio}")
    async def set_value(mock: MockName, gpio: int, body: Given, own: Own) -> Json:
        value = {"value": body.get("raw_value"), "publish": bool(body.get("publish", True))}
        quality = {"quality": body["quality"]} if body.get("quality") else {}
        await own.ask("POST", f"{_ALL}/{mock}/sensors/{gpio}/value", body={**value, **quality})
        return done(mock, "set_sensor_value", gpio=gpio)

    @routes.delete("/{esp_id}/sensors/{gpio}")
    async def remove_sensor(mock: MockName, gpio: int, own: Own) -> Json:
        await own.ask("DELETE", f"{_ALL}/{mock}/sensors/{gpio}")
        return done(mock, "remove_sensor", gpio=gpio)


def _add_actuators(routes: APIRouter) -> None:
    @routes.post("/{esp_id}/actuators")
    async def add_actuator(mock: MockName, body: Given, own: Own) -> Json:
        """Set it up at Kaiser too, as AutomationOne's server does: one that is not takes OFF only."""
        wanted = devices.new_actuator(body)
        await own.ask("POST", f"{_ALL}/{mock}/actuators", body=wanted)
        settings = {name: value for name, value in wanted.items() if name != "gpio"}
        await own.ask("PUT", f"/actuators/{mock}/{wanted['gpio']}", body=settings)
        return done(mock, "add_actuator", gpio=wanted["gpio"])

    @routes.post("/{esp_id}/actuators/{gpio}")
    async def set_state(mock: MockName, gpio: int, body: Given, own: Own) -> Json:
        on, share = bool(body.get("state")), body.get("pwm_value")
        command = "PWM" if on and share is not None and 0 < share < 1 else "ON" if on else "OFF"
        wanted = {"command": command, **({"value": share} if command == "PWM" else {})}
        sent = await own.ask("POST", f"/actuators/{mock}/{gpio}/command", body=wanted)
        return done(mock, "set_actuator", gpio=gpio, command_id=sent["command_id"])
