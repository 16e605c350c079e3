"""Peers on the same servers and the same readings: a batch writer as Telegraf's, and Node-RED with PostgreSQL's client.

Each takes the readings from a topic of its own and puts them into a table of its own; the figure is from the first
publish to the last row. The naive way is in `bench.naive`.
"""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from harness import ROOT, wait_until

from bench import processes, sender
from bench.bed import Bed

FLOW = Path(__file__).with_name("node_red.js")
MODULES = ROOT / ".venv/node-red"
VERSIONS = {"node-red": "5.0.7", "pg": "8.23.1"}
_TABLE = "bench_peer"
_WITHIN_S = 300.0
_READY_WITHIN_S = 120.0


def peers(bed: Bed, count: int) -> dict[str, Any]:
    """Readings a second and CPU µs a reading of each peer; Node-RED where npm has it."""
    found = {"batch_writer": _measured(bed, count, _batch_writer)}
    if _install():
        found["node_red"] = _measured(bed, count // 10, _node_red)
    return found


def _measured(bed: Bed, count: int, peer: Any) -> dict[str, Any]:
    with bed.connect() as connection:
        connection.execute(f"DROP TABLE IF EXISTS {_TABLE}")
        connection.execute(
            f"CREATE TABLE {_TABLE} (time timestamptz, esp_id text, gpio smallint, sensor_type text, raw float8,"
            " value float8, unit text, quality text, PRIMARY KEY (esp_id, gpio, sensor_type, time))"
        )
    job = bed.job(count, devices=1000, prefix=sender.BARE)
    with peer(bed, job) as pid, sender.start(job) as sending:
        cpu_before = processes.usage(pid).cpu_s
        sending.go()
        sent = sending.result()
        wait_until(lambda: _rows(bed) >= count, "every reading of the peer is stored", _WITHIN_S)
        stored_at = time.time()
        used = processes.usage(pid)
    return {
        "per_s": round(count / (stored_at - sent["started"])),
        "readings": count,
        "cpu_us_per_reading": round((used.cpu_s - cpu_before) / count * 1e6, 1),
        "rss_mb": round(used.resident / 1e6),
    }


def _rows(bed: Bed) -> int:
    with bed.connect() as connection:
        found = connection.execute(f"SELECT count(*) FROM {_TABLE}").fetchone()
    return int(found[0]) if found else 0


@contextmanager
def _batch_writer(bed: Bed, job: sender.Job) -> Iterator[int]:
    arguments = [job.host, str(job.port), f"{sender.BARE}/#", bed.stack.addresses["database_url"], _TABLE]
    command = [sys.executable, "-m", "bench.batch_writer", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            process.stdout.readline()
            yield process.pid
        finally:
            process.kill()


@contextmanager
def _node_red(bed: Bed, job: sender.Job) -> Iterator[int]:
    address = urlsplit(bed.stack.addresses["database_url"])
    database = {
        "host": parse_qs(address.query)["host"][0],
        "user": address.username,
        "password": address.password,
        "database": address.path.strip("/"),
    }
    said = {"host": job.host, "port": job.port, "filter": f"{sender.BARE}/#", "table": _TABLE, "database": database}
    command = ["node", str(FLOW), str(MODULES), json.dumps(said)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout
        try:
            while (line := process.stdout.readline().strip()) != "ready":
                assert process.poll() is None, f"Node-RED ended: {line}"
            yield process.pid
        finally:
            process.kill()


def _install() -> bool:
    """Have Node-RED below .venv, once; False where npm cannot get it."""
    if all((MODULES / "node_modules" / name).exists() for name in VERSIONS):
        return True
    names = [f"{name}@{version}" for name, version in VERSIONS.items()]
    try:
        subprocess.run(
            ["npm", "install", "--silent", "--no-fund", "--no-audit", "--prefix", str(MODULES), *names],
            check=True,
            timeout=600,
        )
    except (OSError, subprocess.SubprocessError) as error:
        print(f"bench: no Node-RED here: {error}", flush=True)
        return False
    return True
