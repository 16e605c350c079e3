"""Runs the programs that the console proposes for devices, with stand-ins for the network and the MQTT library."""

import json
import re
import subprocess
import sys
from pathlib import Path

STAND_INS = Path(__file__).parent / "snippets"
_WITHIN_S = 120
_CPYTHON = """
import gc, runpy, sys, time
time.ticks_ms = lambda: 61_000
time.sleep = lambda seconds: None
gc.mem_free = lambda: 201_344
sys.path.insert(0, sys.argv[1])
runpy.run_path(sys.argv[2], run_name="__main__")
"""


def compiled(system: str, program: str, folder: Path) -> list[str]:
    """The output of an Arduino sketch or an ESP-IDF program, compiled as C++17 with every warning as an error."""
    headers = STAND_INS / system
    (folder / {"arduino": "sketch.ino", "espidf": "program.c"}[system]).write_text(program)
    flags = [
        "-std=c++17",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-Wno-missing-field-initializers",
        f"-I{headers}",
        f"-I{folder}",
    ]
    _run(["g++", *flags, str(headers / "main.cpp"), "-o", str(folder / system)])
    return _run([str(folder / system)])


def interpreted(program: str, folder: Path) -> list[str]:
    """The output of a MicroPython program under CPython, with MicroPython's own functions set in."""
    path = folder / "main.py"
    path.write_text(program)
    return _run([sys.executable, "-c", _CPYTHON, str(STAND_INS / "micropython"), str(path)])


def on_micropython(program: str, folder: Path, package: Path) -> list[str]:
    """Output of a MicroPython program in MicroPython itself, compiled to WebAssembly. package: the folder of its npm
    package."""
    path = folder / "main.py"
    path.write_text(program)
    runner = Path(__file__).with_name("micropython_run.mjs")
    return _run(["node", str(runner), str(package), str(STAND_INS / "micropython"), str(path)])


def substituted(program: str, telemetry: dict[str, dict[str, float]]) -> list[str]:
    """The messages that Tasmota publishes by the rules of a program at its telemetry, as lines of topic, tab, payload.

    telemetry: sensor and quantity, as Tasmota has it in tele/…/SENSOR. A rule of a value that it lacks stays silent.
    """
    sent = []
    for trigger, topic, payload in re.findall(r"ON (\S+) DO Publish (\S+) (\{.*?\}) ENDON", program):
        sensor, quantity = trigger.removeprefix("Tele-").split("#")
        value = telemetry.get(sensor, {}).get(quantity)
        if trigger == "Time#Minute" or value is not None:
            sent.append(f"{topic}\t{payload.replace('%value%', str(value))}")
    return sent


def formatted(program: str, value: float) -> list[str]:
    """ESPHome's message by the lambda of a sensor, as a line of topic, tab, payload; its YAML is read as text."""
    topic = re.search(r'topic: "(\S+/sensor/\S+)"', program)
    text = re.search(r'str_sprintf\(("\{\\"ts\\".*"), x\)', program)
    assert topic is not None, program
    assert text is not None, program
    return [f"{topic[1]}\t{json.loads(text[1]) % value}"]


def _run(command: list[str]) -> list[str]:
    done = subprocess.run(command, capture_output=True, text=True, timeout=_WITHIN_S, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()
