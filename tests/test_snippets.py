"""The programs that the console proposes for a device run, and ingest takes what they send.

Arduino and ESP-IDF are compiled and run with stand-ins for their libraries, MicroPython runs in MicroPython (as
WebAssembly, with stand-ins for network and umqtt) and in CPython, and ESPHome checks its configuration. ESPHome's
lambda and Tasmota's rules are only read: compiling the one needs a toolchain, and running the other a device.
"""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from console_module import called, node, printed
from harness import ROOT
from kaiser_ingest.domain.validate import Accepted, validate
from snippets_run import compiled, formatted, interpreted, on_micropython, substituted

NOW = 1_767_225_700_000
DEVICE = {
    "espId": "ESP_0A1B2C3D",
    "kaiserId": "god",
    "broker": "192.168.1.10",
    "port": 1883,
    "user": "ESP_0A1B2C3D",
    "password": 'se"cret\\',
    "gpio": 4,
    "sensorType": "ds18b20",
}
TOPIC = "kaiser/god/esp/ESP_0A1B2C3D"


@pytest.fixture
def program(missing: Callable[..., Any], tmp_path: Path) -> Callable[..., str]:
    """`program(system, **changes)`: the program of a system for the device."""
    if node() is None:
        missing("node", "node is not installed")
    return lambda system, **changes: called("snippets.js", [["snippet", system, {**DEVICE, **changes}]], tmp_path)[0]


def accepted(lines: list[str]) -> list[Any]:
    """The messages of the published lines, as ingest reads them."""
    found = []
    for line in lines:
        topic, payload = line.split("\t")
        if topic not in ("server", "client", "will"):
            [one] = validate(topic, payload.encode(), NOW)
            assert isinstance(one, Accepted), (line, one)
            found.append(one.message)
    return found


def readings(messages: list[Any]) -> list[tuple[str, int, str, float, str]]:
    return [
        (one.esp_id, one.gpio, one.sensor_type, one.raw_value, one.unit)
        for one in messages
        if hasattr(one, "sensor_type")
    ]


UNITS = {"ds18b20": "°C", "sht31_temp": "°C", "sht31_humidity": "%", "ph": "pH", "soil_moisture": "%"}
TELEMETRY = {
    "ds18b20": {"DS18B20": {"Temperature": 21.5}},
    "sht31_temp": {"SHT3X": {"Temperature": 21.5, "Humidity": 44.0, "DewPoint": 8.7}},
    "sht31_humidity": {"SHT3X": {"Temperature": 26.1, "Humidity": 21.5, "DewPoint": 2.2}},
    "ph": {"ANALOG": {"A1": 21.5}},
    "soil_moisture": {"ANALOG": {"A1": 21.5}},
}


def reading_of(sensor_type: str) -> tuple[str, int, str, float, str]:
    return ("ESP_0A1B2C3D", 4, sensor_type, 21.5, UNITS[sensor_type])


def runner_of(system: str, missing: Callable[..., Any]) -> Callable[[str, Path], list[str]]:
    """Runs the program of a system; skips, or fails, where what it needs is not there."""
    if system == "cpython":
        return interpreted
    if system == "micropython":
        package = Path(os.environ.get("KAISER_TEST_MICROPYTHON", ROOT / ".venv" / "micropython"))
        if not (package / "node_modules" / "@micropython").is_dir():
            missing("micropython", f"@micropython/micropython-webassembly-pyscript is not installed in {package}")
        return lambda program, folder: on_micropython(program, folder, package)
    if shutil.which("g++") is None:
        missing("g++", "g++ is not installed")
    return lambda program, folder: compiled(system, program, folder)


@pytest.mark.parametrize("system", ["arduino", "espidf", "micropython", "cpython"])
def test_a_program_connects_and_sends_readings_and_heartbeats_that_are_taken(
    system: str, program: Callable[..., str], missing: Callable[..., Any], tmp_path: Path
):
    run = runner_of(system, missing)
    for changes, client in (({}, 'ESP_0A1B2C3D ESP_0A1B2C3D se"cret\\'), ({"user": ""}, "ESP_0A1B2C3D - -")):
        lines = run(program("micropython" if system == "cpython" else system, **changes), tmp_path)
        assert "server\t192.168.1.10:1883" in lines
        assert f"client\t{client}" in lines
        [will] = [line for line in lines if line.startswith("will\t")]
        topic, payload = will.removeprefix("will\t").split(" ", 1)
        [last] = validate(topic, payload.encode(), NOW)
        assert isinstance(last, Accepted)
        messages = accepted(lines)
        assert readings(messages) == [reading_of("ds18b20")] * 2
        [beat] = [one for one in messages if hasattr(one, "heap_free")]
        assert beat.heap_free == 201_344


@pytest.mark.parametrize("system", ["arduino", "espidf", "micropython", "cpython"])
@pytest.mark.parametrize("sensor_type", sorted(set(UNITS) - {"ds18b20"}))
def test_the_readings_of_each_type_are_taken_with_its_unit(
    system: str, sensor_type: str, program: Callable[..., str], missing: Callable[..., Any], tmp_path: Path
):
    run = runner_of(system, missing)
    lines = run(program("micropython" if system == "cpython" else system, sensorType=sensor_type), tmp_path)
    assert readings(accepted(lines)) == [reading_of(sensor_type)] * 2


@pytest.mark.parametrize("sensor_type", UNITS)
def test_what_esphome_and_tasmota_publish_is_taken(sensor_type: str, program: Callable[..., str]):
    assert readings(accepted(formatted(program("esphome", sensorType=sensor_type), 21.5))) == [reading_of(sensor_type)]
    sent = substituted(program("tasmota", sensorType=sensor_type), TELEMETRY[sensor_type])
    assert readings(accepted(sent)) == [reading_of(sensor_type)]


def test_the_types_tried_are_all_that_the_console_offers(program: Callable[..., str]):
    program("tasmota")
    offered = printed('const { TYPES } = await import("./core/snippets.js"); console.log(JSON.stringify(TYPES));')
    assert {sensor_type: unit for sensor_type, _, unit, _ in offered} == UNITS


def test_esphome_finds_its_configuration_valid(
    program: Callable[..., str], missing: Callable[..., Any], tmp_path: Path
):
    own = ROOT / ".venv" / "esphome" / "bin" / "esphome"
    esphome = os.environ.get("KAISER_TEST_ESPHOME") or (str(own) if own.exists() else shutil.which("esphome"))
    if esphome is None:
        missing("esphome", f"esphome is not installed, not in {own} either")
    for number, changes in enumerate(({}, {"user": ""}, {"sensorType": "soil_moisture"})):
        path = tmp_path / f"kaiser{number}.yaml"
        path.write_text(program("esphome", **changes))
        done = subprocess.run([str(esphome), "config", path], capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr
        assert TOPIC in done.stdout


def test_a_proposed_id_is_one_that_kaiser_takes(program: Callable[..., str], tmp_path: Path):
    program("tasmota")
    [made] = called("snippets.js", [["newId"]], tmp_path)
    [one] = validate(f"kaiser/god/esp/{made}/system/heartbeat", b"{}", NOW)
    assert isinstance(one, Accepted)
