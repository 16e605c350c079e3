"""How long the stack takes to start, and its memory at rest: nothing is sent, no page is open."""

import tempfile
import time
from pathlib import Path
from typing import Any

from harness import Stack

from bench import processes

_QUIET_S = 60.0
_SERVERS = {"postgres", "mosquitto"}
"""NATS is counted with the services: it is the bus between them."""


def rest(broker: str, *, quick: bool) -> dict[str, Any]:
    """Seconds of the first start on an empty folder and of later ones; MB of each process a minute later."""
    with tempfile.TemporaryDirectory(prefix="kaiser-bench-") as folder:
        Path(folder).chmod(0o711)
        stack = Stack(Path(folder) / "state", plain=True, KAISER_MQTT_BROKER=broker, KAISER_LOG_LEVEL="warning")
        try:
            found: dict[str, Any] = {"first_start_s": _started(stack), "start_s": []}
            for _ in range(1 if quick else 3):
                stack.stop()
                found["start_s"].append(_started(stack))
            time.sleep(_QUIET_S / (6 if quick else 1))
            memory = {name: processes.usage(pid).resident / 1e6 for name, pid in sorted(stack.pids().items())}
        finally:
            if stack.is_running:
                stack.stop()
    found["memory_mb"] = {name: round(value, 1) for name, value in memory.items()}
    found["memory_of_services_mb"] = round(sum(value for name, value in memory.items() if name not in _SERVERS))
    return found


def _started(stack: Stack) -> float:
    began = time.monotonic()
    stack.start()
    return round(time.monotonic() - began, 2)
