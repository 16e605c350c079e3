"""Loads mock devices and rules from a YAML or JSON file into a running stack, or removes them again."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from kaiser_common.contract.nearest import nearest
from kaiser_stack.errors import NotReadyError, SetupError

from kaiser_demo.rest import Rest, RestRefused

Say = Callable[[str], None]

_MOCKS = "/api/v1/debug/mock-esp"
_RULES = "/api/v1/logic/rules"
_SHOWN_WITHIN_S = 60.0
_THERE_WITHIN_S = 60.0
_ASK_EVERY_S = 0.5
_KEYS = ("devices", "rules", "factory")
_NOT_YET = (404, 503, 504)
"""Statuses of what is not known yet, and of a service or a database that is not there yet."""


@dataclass(frozen=True, slots=True)
class Demo:
    """The content of a file: devices, rules and perhaps a mock factory, as the REST API takes them."""

    devices: list[dict[str, Any]]
    rules: list[dict[str, Any]]
    factory: dict[str, Any] | None = None


def read(path: Path) -> Demo:
    """The content of a file; a sensor's `replay_csv_file` is read from beside it. SetupError says what is wrong."""
    try:
        content = yaml.safe_load(path.read_text())
        _check_keys(path, content)
        factory = content.get("factory")
        found = content.get("devices", []) if factory else content["devices"]
        devices = [_with_csv(device, path.parent) for device in found]
    except OSError as error:
        raise SetupError(f"cannot read {error.filename}: {error.strerror}") from error
    except (yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        text = " ".join(str(error).split())
        raise SetupError(f"{path} is no file of mock devices: {text}") from error
    return Demo(devices, list(content.get("rules") or []), factory)


def load(rest: Rest, demo: Demo, say: Say) -> None:
    """Make what is not there yet, and wait until readings show. NotReadyError when none do within a minute, or when a
    service does not take its part within a minute: what was made stays, and the next call makes the rest."""
    began = time.monotonic()
    try:
        waiting = [{**device, "auto_start": False} for device in demo.devices]
        made = rest.ask("POST", f"{_MOCKS}/many", {"devices": waiting, "skip_existing": True})["esp_ids"]
    except RestRefused as error:
        raise SetupError(f"the mock devices were refused: {error}") from error
    known = len(demo.devices) - len(made)
    say(f"{len(made)} mock devices made" + (f", {known} were there already" if known else ""))
    _register_actuators(rest, demo, say)  # before the mocks report them, or each is logged as unknown
    _start(rest, demo)
    _until_shown(rest, [device["esp_id"] for device in demo.devices if device.get("sensors")])
    say(f"readings of every device show after {time.monotonic() - began:.0f} s")
    _name_sensors(rest, demo)
    _add_rules(rest, demo, say)
    for device in demo.devices:
        if "garbage" in (device.get("faults") or {}):
            say(f"{device['esp_id']} sends invalid messages on purpose: they show as rejected")
    say(f"watch them at {rest.http_url}/")


def remove(rest: Rest, demo: Demo, say: Say) -> None:
    """Take devices and rules away again; what they sent stays stored."""
    removed = sum(_is_removed(rest, f"{_MOCKS}/{device['esp_id']}") for device in demo.devices)
    names = {rule["name"] for rule in demo.rules}
    rules = [rule for rule in _rules(rest) if rule["name"] in names]
    for rule in rules:
        _is_removed(rest, f"{_RULES}/{rule['rule_id']}")
    say(f"{removed} mock devices and {len(rules)} rules removed; their readings stay")


def _check_keys(path: Path, content: Any) -> None:
    """SetupError for a key that would be ignored. The API refuses those of a device, a rule and the factory. TypeError:
    there are no keys."""
    if not isinstance(content, dict):
        raise TypeError("it has no keys")
    for key in content:
        if key not in _KEYS:
            meant = nearest(str(key), _KEYS)
            hint = f"did you mean {meant}?" if meant else f"there are {', '.join(_KEYS)}"
            raise SetupError(f"{path}: there is no key {key}: {hint}")


def _with_csv(device: dict[str, Any], folder: Path) -> dict[str, Any]:
    sensors = []
    for sensor in device.get("sensors", []):
        name = sensor.get("replay_csv_file")
        rest = {key: value for key, value in sensor.items() if key != "replay_csv_file"}
        sensors.append({**rest, "replay_csv": (folder / name).read_text()} if name else rest)
    return {**device, "esp_id": device["esp_id"], "sensors": sensors}


def _start(rest: Rest, demo: Demo) -> None:
    for device in demo.devices:
        if device.get("auto_start", True):
            rest.ask("POST", f"{_MOCKS}/{device['esp_id']}/start")


def _until_shown(rest: Rest, esp_ids: list[str]) -> None:
    deadline = time.monotonic() + _SHOWN_WITHIN_S
    waiting = list(esp_ids)
    while waiting:
        if time.monotonic() > deadline:
            raise NotReadyError(f"no reading of {', '.join(waiting[:3])} within {_SHOWN_WITHIN_S:g} s")
        waiting = [esp_id for esp_id in waiting if not _has_reading(rest, esp_id)]
        if waiting:
            time.sleep(_ASK_EVERY_S)


def _name_sensors(rest: Rest, demo: Demo) -> None:
    """Give the sensors their names, once each has sent: from then on Kaiser knows how often it does. A sensor that is
    configured already keeps its name."""
    deadline = time.monotonic() + _SHOWN_WITHIN_S
    for device in demo.devices:
        esp_id = device["esp_id"]
        named = {_place(sensor): sensor["name"] for sensor in device.get("sensors", []) if sensor.get("name")}
        while not named.keys() <= _places(rest, f"/api/v1/sensors/latest?esp_id={esp_id}"):
            if time.monotonic() > deadline:
                break
            time.sleep(_ASK_EVERY_S)
        for gpio, sensor_type in named.keys() - _places(rest, f"/api/v1/sensors?esp_id={esp_id}"):
            path = f"/api/v1/sensors/{esp_id}/{gpio}/{sensor_type}"
            _ask_until_there(rest, "PATCH", path, {"name": named[gpio, sensor_type]}, "the name of a sensor")


def _place(sensor: dict[str, Any]) -> tuple[int, str]:
    return sensor["gpio"], sensor["sensor_type"].lower()


def _places(rest: Rest, path: str) -> set[tuple[int, str]]:
    return {_place(one) for one in rest.ask("GET", path)["items"]}


def _has_reading(rest: Rest, esp_id: str) -> bool:
    try:
        return bool(rest.ask("GET", f"/api/v1/sensors/latest?esp_id={esp_id}")["items"])
    except RestRefused:
        return False


def _register_actuators(rest: Rest, demo: Demo, say: Say) -> None:
    """Have Kaiser command what the mocks have."""
    count = 0
    for device in demo.devices:
        for actuator in device.get("actuators", []):
            settings = {key: value for key, value in actuator.items() if key != "gpio"}
            path = f"/api/v1/actuators/{device['esp_id']}/{actuator['gpio']}"
            _ask_until_there(rest, "PUT", path, settings, "an actuator")
            count += 1
    say(f"{count} actuators registered")


def _add_rules(rest: Rest, demo: Demo, say: Say) -> None:
    """Add the rules that are not there by name."""
    if not demo.rules:
        return
    names = {rule["name"] for rule in _ask_until_there(rest, "GET", f"{_RULES}?limit=1000", None, "rules")["items"]}
    for rule in demo.rules:
        if rule["name"] not in names:
            _ask_until_there(rest, "POST", _RULES, rule, f"the rule {rule['name']}")
        say(f"rule in force: {rule['name']}")


def _ask_until_there(rest: Rest, method: str, path: str, body: Any, what: str) -> Any:
    """Ask until what is asked is there: after a start or an outage one service follows the other. NotReadyError after a
    minute, SetupError for a refusal."""
    deadline = time.monotonic() + _THERE_WITHIN_S
    while True:
        try:
            return rest.ask(method, path, body)
        except RestRefused as error:
            if error.status not in _NOT_YET:
                raise SetupError(f"{what} was refused: {error}") from error
            if time.monotonic() > deadline:
                raise NotReadyError(f"{what}: not taken within a minute, try again: {error}") from error
        time.sleep(_ASK_EVERY_S)


def _rules(rest: Rest) -> list[dict[str, Any]]:
    try:
        return list(rest.ask("GET", f"{_RULES}?limit=1000")["items"])
    except RestRefused:
        return []


def _is_removed(rest: Rest, path: str) -> bool:
    try:
        rest.ask("DELETE", path)
    except RestRefused:
        return False
    return True
