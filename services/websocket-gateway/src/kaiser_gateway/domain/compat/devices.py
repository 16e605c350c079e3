"""Translates devices, mock devices included, between AutomationOne's form and Kaiser's."""

from collections.abc import Mapping

from kaiser_gateway.domain.compat.common import Json, iso

_MOCK_PREFIX = "ESP_MOCK_"


Zones = Mapping[str, str]
"""The names of zones by their ids."""


def device(found: Json, zones: Zones) -> Json:
    """A device."""
    status = "online" if found["online"] else "offline"
    if found["state"] != "approved":
        status = "pending_approval" if found["state"] == "pending" else "rejected"
    return {
        "id": found["esp_id"],
        "device_id": found["esp_id"],
        "esp_id": found["esp_id"],
        "name": found.get("name"),
        "kaiser_id": found["kaiser_id"],
        "zone_id": found.get("zone_id"),
        "zone_name": _zone_name(found, zones),
        "master_zone_id": None,
        "is_zone_master": False,
        "ip_address": found.get("ip") or "",
        "mac_address": "",
        "firmware_version": found.get("firmware_version") or "",
        "hardware_type": found["hardware_type"],
        "capabilities": {},
        "status": status,
        "connected": found["online"],
        "last_seen": iso(found.get("last_seen")),
        "metadata": found.get("metadata", {}),
        "sensor_count": found.get("sensor_count") or 0,
        "actuator_count": found.get("actuator_count") or 0,
        "heap_free": found.get("heap_free"),
        "wifi_rssi": found.get("wifi_rssi"),
        "uptime": found.get("uptime"),
        "created_at": iso(found["created_at"]),
        "updated_at": iso(found.get("last_seen") or found["created_at"]),
    }


def registration(body: Json) -> Json:
    """The registration of a device in Kaiser's form; addresses come from the device itself."""
    known = {"esp_id": body.get("device_id"), "name": body.get("name"), "zone_id": body.get("zone_id")}
    more = {name: body[name] for name in ("hardware_type", "metadata") if body.get(name)}
    return {**{name: value for name, value in known.items() if value}, **more}


def change(body: Json) -> Json:
    """The change of a device in Kaiser's form; its zone has a request of its own."""
    return {name: body[name] for name in ("name", "hardware_type", "metadata") if body.get(name) is not None}


def health(found: Json) -> Json:
    """The figures of a device's last heartbeat."""
    uptime = found.get("uptime") or 0
    names = ("uptime", "heap_free", "wifi_rssi", "sensor_count", "actuator_count")
    return {
        "success": True,
        "device_id": found["esp_id"],
        "status": "online" if found["online"] else "offline",
        "metrics": {
            **{name: found.get(name) or 0 for name in names},
            "timestamp": (found.get("last_seen") or 0) // 1000,
        },
        "last_seen": iso(found.get("last_seen")),
        "uptime_formatted": f"{uptime // 86_400}d {uptime // 3600 % 24}h {uptime // 60 % 60}m",
    }


def zone(found: Json, zones: Zones) -> Json:
    """Where a device is."""
    return {
        "zone_id": found.get("zone_id"),
        "master_zone_id": None,
        "zone_name": _zone_name(found, zones),
        "is_zone_master": False,
        "kaiser_id": found["kaiser_id"],
    }


def _zone_name(found: Json, zones: Zones) -> str | None:
    zone_id = found.get("zone_id")
    return zones.get(zone_id, zone_id) if zone_id else None


def assigned(found: Json, body: Json) -> Json:
    """A zone that was sent to a device."""
    return {
        "success": True,
        "message": f"the zone {body['zone_id']} was sent to {found['esp_id']}",
        "device_id": found["esp_id"],
        "zone_id": body["zone_id"],
        "master_zone_id": body.get("master_zone_id"),
        "zone_name": body.get("zone_name"),
        **_sent(found),
    }


def removed(found: Json) -> Json:
    """A device that was sent out of its zone."""
    message = f"{found['esp_id']} was sent out of its zone"
    return {"success": True, "message": message, "device_id": found["esp_id"], **_sent(found)}


def _sent(found: Json) -> Json:
    return {"mqtt_topic": f"kaiser/{found['kaiser_id']}/esp/{found['esp_id']}/zone/assign", "mqtt_sent": True}


def mock_id(given: str) -> str:
    """Kaiser's id of a mock: the frontend's begin with ESP_MOCK_, Kaiser's with MOCK_."""
    return given.removeprefix("ESP_") if given.startswith(_MOCK_PREFIX) else given


def mock(found: Json, zones: Zones) -> Json:
    """A mock device."""
    return {
        "esp_id": found["esp_id"],
        "name": found.get("name"),
        "zone_id": found.get("zone_id"),
        "zone_name": _zone_name(found, zones),
        "master_zone_id": None,
        "subzone_id": None,
        "system_state": found["state"],
        "status": "online" if found["connected"] else "offline",
        "connected": found["connected"],
        "sensors": [_mock_sensor(one) for one in found["sensors"]],
        "actuators": [_mock_actuator(one) for one in found["actuators"]],
        "auto_heartbeat": found["running"],
        "heartbeat_interval_seconds": found["heartbeat_interval_s"],
        "heap_free": 0,
        "wifi_rssi": 0,
        "uptime": found["uptime_s"],
        "last_heartbeat": iso(found.get("last_heartbeat")),
        "created_at": iso(found.get("last_heartbeat") or 0),
        "hardware_type": found["hardware_type"],
    }


def _mock_sensor(found: Json) -> Json:
    last = found.get("last_value")
    override = found.get("override")
    shown = override if override is not None else last if last is not None else found["base_value"]
    return {
        "gpio": found["gpio"],
        "sensor_type": found["sensor_type"],
        "name": found.get("name"),
        "subzone_id": found.get("subzone_id"),
        "raw_value": shown,
        "unit": found["unit"],
        "quality": found["quality"],
        "raw_mode": found["raw_mode"],
        "last_read": iso(found.get("last_ts")),
    }


def _mock_actuator(found: Json) -> Json:
    return {
        "gpio": found["gpio"],
        "actuator_type": found["actuator_type"],
        "name": found.get("name"),
        "state": found["state"],
        "pwm_value": found["value"],
        "emergency_stopped": found["emergency"] == "active",
        "last_command": found.get("last_command"),
    }


def new_mock(body: Json) -> Json:
    """A mock to create."""
    named = {"name": body.get("name"), "zone_id": body.get("zone_id")}
    interval = body.get("heartbeat_interval_seconds")
    return {
        **{name: value for name, value in named.items() if value},
        **({"esp_id": mock_id(body["esp_id"])} if body.get("esp_id") else {}),
        **({"heartbeat_interval_s": interval} if interval else {}),
        "sensors": [new_sensor(one) for one in body.get("sensors") or []],
        "actuators": [new_actuator(one) for one in body.get("actuators") or []],
    }


def new_sensor(body: Json) -> Json:
    """A sensor to add to a mock."""
    same = ("gpio", "sensor_type", "name", "subzone_id", "unit", "quality", "raw_mode", "min_value", "max_value")
    names = {"raw_value": "base_value", "interval_seconds": "interval_s", "variation_range": "variation_range"}
    return {
        **{name: body[name] for name in same if body.get(name) is not None},
        **{ours: body[theirs] for theirs, ours in names.items() if body.get(theirs) is not None},
        **({"variation_pattern": str(body["variation_pattern"]).upper()} if body.get("variation_pattern") else {}),
    }


def new_actuator(body: Json) -> Json:
    """An actuator to add to a mock."""
    names = {
        "gpio": "gpio",
        "actuator_type": "actuator_type",
        "name": "name",
        "subzone_id": "subzone_id",
        "state": "default_state",
        "max_runtime_seconds": "max_runtime_s",
    }
    return {ours: body[theirs] for theirs, ours in names.items() if body.get(theirs) is not None}
