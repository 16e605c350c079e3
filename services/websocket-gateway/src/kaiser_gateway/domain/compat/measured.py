"""Translates sensors, their readings and statistics, and actuators into AutomationOne's form."""

import statistics
from collections import Counter
from collections.abc import Sequence
from typing import Any

from kaiser_gateway.domain.compat.common import Json, iso

_NO_TIME = "1970-01-01T00:00:00Z"


def sensor(config: Json, newest: Json | None) -> Json:
    """A configured sensor, with its newest reading where there is one."""
    limits = config.get("thresholds") or {}
    at = iso(newest["ts"]) if newest else None
    return {
        "id": _key(config),
        "config_id": _key(config),
        "esp_id": config["esp_id"],
        "esp_device_id": config["esp_id"],
        "gpio": config["gpio"],
        "sensor_type": config["sensor_type"],
        "name": config.get("name") or config["sensor_type"],
        "subzone_id": config.get("subzone_id"),
        "enabled": config["active"],
        "interval_ms": config["interval_s"] * 1000,
        "processing_mode": "pi_enhanced" if config["raw_mode"] else "local",
        "calibration": config.get("calibration"),
        "threshold_min": limits.get("critical_low"),
        "threshold_max": limits.get("critical_high"),
        "warning_min": limits.get("warning_low"),
        "warning_max": limits.get("warning_high"),
        "metadata": {},
        "onewire_address": config["address"] if len(config["address"]) == 16 else None,
        "i2c_address": int(config["address"]) if config["address"].isdigit() and len(config["address"]) < 16 else None,
        "latest_value": value_of(newest) if newest else None,
        "latest_quality": newest["quality"] if newest else None,
        "latest_timestamp": at,
        "created_at": _NO_TIME,
        "updated_at": at or _NO_TIME,
    }


def _key(config: Json) -> str:
    return ":".join(str(config[name]) for name in ("esp_id", "gpio", "sensor_type", "address") if config[name] != "")


def value_of(reading: Json) -> Any:
    """The processed value, else the raw one."""
    return reading["value"] if reading.get("value") is not None else reading.get("raw_value")


def readings(found: Sequence[Json], asked: Json) -> Json:
    """Readings, the newest first as the frontend expects them."""
    items = [
        {
            "timestamp": iso(one["ts"]),
            "raw_value": one["raw_value"] if one.get("raw_value") is not None else one.get("raw"),
            "processed_value": one.get("value"),
            "unit": one.get("unit"),
            "quality": one["quality"],
            "sensor_type": one["sensor_type"],
        }
        for one in sorted(found, key=lambda one: one["ts"], reverse=True)
    ]
    span = {"start": items[-1]["timestamp"], "end": items[0]["timestamp"]} if items else None
    return {"success": True, **asked, "readings": items, "count": len(items), "resolution": "raw", "time_range": span}


def figures(found: Sequence[Json], asked: Json, start_ms: int, end_ms: int) -> Json:
    """The lowest, highest and mean of readings, and how many there were of each quality."""
    values = [value for one in found if (value := value_of(one)) is not None]
    types = {one["sensor_type"] for one in found}
    return {
        "success": True,
        **asked,
        "sensor_type": asked.get("sensor_type") or (min(types) if types else None),
        "stats": {
            "min_value": min(values, default=None),
            "max_value": max(values, default=None),
            "avg_value": statistics.fmean(values) if values else None,
            "std_dev": statistics.pstdev(values) if values else None,
            "reading_count": len(found),
            "quality_distribution": dict(Counter(one["quality"] for one in found)),
        },
        "time_range": {"start": iso(start_ms), "end": iso(end_ms)},
    }


def actuator(found: Json) -> Json:
    """An actuator with its state."""
    on = bool(found["state"] if found.get("state") is not None else found.get("last_state"))
    at = iso(found.get("reported_at"))
    return {
        "id": f"{found['esp_id']}:{found['gpio']}",
        "esp_id": found["esp_id"],
        "esp_device_id": found["esp_id"],
        "gpio": found["gpio"],
        "actuator_type": found["actuator_type"],
        "name": found.get("name") or found["actuator_type"],
        "enabled": found["active"],
        "max_runtime_seconds": found["max_runtime_s"] or None,
        "cooldown_seconds": None,
        "pwm_frequency": None,
        "servo_min_pulse": None,
        "servo_max_pulse": None,
        "metadata": {},
        "current_value": found["value"] if found.get("value") is not None else float(on),
        "is_active": on,
        "last_command_at": at,
        "created_at": _NO_TIME,
        "updated_at": at or _NO_TIME,
    }
