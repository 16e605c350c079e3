"""The commit, time and machine of a measurement, in words; pure."""

from collections.abc import Mapping
from typing import Any


def when(results: Mapping[str, Any], part: str) -> str:
    """Commit and time of a part; and that it is of the quick form, or what was said of the machine."""
    found = results.get("parts", {}).get(part) or {}
    return when_of(found or results.get(part) or {})


def when_of(found: Mapping[str, Any]) -> str:
    """Commit and time, as a measurement itself says them."""
    commit = found.get("commit") or "commit not recorded"
    quick = ", the quick form, for a first look" if found.get("quick") else ""
    return f"{commit}, {found.get('at', '?')[:16].replace('T', ' ')} UTC{quick}"


def conditions(results: Mapping[str, Any], part: str) -> str:
    """The machine and the circumstances of a part, in words."""
    found = results.get("parts", {}).get(part) or results.get(part) or {}
    if "machine" not in found:
        return "Not measured yet."
    machine = found["machine"]
    broker = f", Mosquitto {machine['mosquitto']}" if machine.get("mosquitto") else ""
    load = f", load before {machine['load_before'][0]:g}" if machine.get("load_before") else ""
    note = f"; {found['note']}" if found.get("note") else ""
    said = f"{machine['cores']} cores of {machine['cpu']}, {machine['memory_gb']} GB{broker}{load}"
    return f"{said}; broker, bus, database, services and load generator on one machine{note}."
