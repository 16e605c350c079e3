"""The shipped configurations are accepted by the servers they are for, and lose nothing by default."""

import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

DEPLOY = Path(__file__).parents[1] / "deploy"


def test_nats_accepts_its_configuration_and_syncs_before_it_acknowledges(tmp_path):
    text = (DEPLOY / "nats/nats.conf").read_text().replace("/var/lib/nats", str(tmp_path))
    assert "sync_interval: always" in text
    config = tmp_path / "nats.conf"
    config.write_text(text)
    program = Path(sys.executable).parent / "nats-server"
    checked = subprocess.run([program, "-t", "-c", config], capture_output=True, text=True, timeout=20, check=False)
    assert checked.returncode == 0, checked.stderr


def test_mosquitto_starts_with_its_configuration(tmp_path, free_port, missing):
    program = shutil.which("mosquitto", path="/usr/local/sbin:/usr/sbin:/usr/bin")
    if program is None:
        missing("mosquitto", "mosquitto is not installed")
    text = (DEPLOY / "mosquitto/mosquitto.conf").read_text()
    assert "max_queued_messages 1000000" in text
    text = text.replace("listener 1883", f"listener {free_port()}").replace("/var/lib/mosquitto", str(tmp_path))
    config = tmp_path / "mosquitto.conf"
    config.write_text(f"{text}user root\n")
    process = subprocess.Popen([program, "-c", str(config)], stderr=subprocess.PIPE, text=True)
    try:
        lines = []
        deadline = time.monotonic() + 60
        while not any("running" in line for line in lines):
            assert time.monotonic() < deadline, lines
            lines.append(process.stderr.readline())
            assert process.poll() is None, lines
    finally:
        process.kill()
        process.communicate(timeout=60)


@pytest.mark.parametrize("name", sorted(each.name for each in (DEPLOY / "mosquitto").glob("*.conf")))
def test_mosquitto_keeps_messages_at_qos_0_of_devices_while_ingest_is_away(name):
    lines = (DEPLOY / "mosquitto" / name).read_text().splitlines()
    if any(line.startswith("listener ") for line in lines):
        assert "queue_qos0_messages true" in lines


@pytest.mark.parametrize("name", ["nats/nats.conf", "mosquitto/mosquitto.conf"])
def test_nothing_listens_on_the_network_by_default(name):
    assert "127.0.0.1" in (DEPLOY / name).read_text()
