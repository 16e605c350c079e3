"""CPU time and memory of processes, from /proc."""

import os
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU seconds since the start, and resident bytes of its own (what processes share is divided among them)."""

    cpu_s: float
    resident: int


def usage(pid: int) -> Usage:
    """Of a process and its descendants; those that have ended count with the CPU that they used."""
    cpu_s, resident = 0.0, 0
    for member in tree(pid):
        try:
            fields = Path(f"/proc/{member}/stat").read_text().rpartition(")")[2].split()
            cpu_s += sum(map(int, fields[11:15])) / _TICKS
            resident += _proportional(member)
        except (FileNotFoundError, ProcessLookupError):
            continue
    return Usage(cpu_s, resident)


def tree(pid: int) -> list[int]:
    """The process and its descendants."""
    found = [pid]
    for parent in found:
        try:
            children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        except FileNotFoundError:
            continue
        found.extend(map(int, children))
    return found


def _proportional(pid: int) -> int:
    """Proportional resident bytes without shared memory: PostgreSQL's buffers fill up as they are meant to."""
    found = dict.fromkeys(("Pss:", "Pss_Shmem:"), 0)
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        name = line.split()[0]
        if name in found:
            found[name] = int(line.split()[1]) * 1024
    return found["Pss:"] - found["Pss_Shmem:"]


def machine() -> dict[str, object]:
    """The machine that is measured on."""
    cpu = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        "unknown",
    )
    memory_kb = int(Path("/proc/meminfo").read_text().split()[1])
    load = os.getloadavg()
    return {
        "cpu": cpu,
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(memory_kb / 1024**2, 1),
        "kernel": os.uname().release,
        "load_before": [round(value, 2) for value in load],
    }
