"""Secrets are made once, differ everywhere, and lie behind a closed door."""

import stat
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import kaiser_common
import kaiser_deploy
import pytest
from kaiser_deploy import devices, secret_files
from kaiser_deploy.mosquitto_passwords import remove, set_password, verifies


def test_every_secret_is_made_once_and_no_two_are_equal(tmp_path):
    assert secret_files.make(tmp_path) == list(secret_files.names())
    first = {name: (tmp_path / name).read_text() for name in secret_files.names()}
    assert len(set(first.values())) == len(first)
    assert all(len(value.strip()) >= 43 for value in first.values())
    assert secret_files.make(tmp_path) == []
    assert {name: (tmp_path / name).read_text() for name in secret_files.names()} == first


def test_a_secret_that_somebody_else_decides_is_empty_until_it_is_filled_in(tmp_path):
    secret_files.make(tmp_path)
    (path,) = (tmp_path / name for name in secret_files.GIVEN)
    assert path.read_text() == ""
    path.write_text("from the issuer\n")
    secret_files.make(tmp_path)
    assert path.read_text() == "from the issuer\n"


def test_only_the_owner_may_enter_the_folder(tmp_path):
    folder = tmp_path / "secrets"
    secret_files.make(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_secret_that_was_lost_is_made_anew_and_the_broker_follows(tmp_path):
    secret_files.make(tmp_path)
    (tmp_path / "mqtt-ingest").unlink()
    assert secret_files.make(tmp_path) == ["mqtt-ingest"]
    text = (tmp_path / "mosquitto" / "passwords").read_text()
    assert verifies(text, "kaiser-ingest", secret_files.read(tmp_path, "mqtt-ingest"))
    assert text.count("kaiser-ingest:") == 1


def test_a_device_keeps_its_password_when_secrets_are_made_again(tmp_path):
    secret_files.make(tmp_path)
    password = devices.admit(tmp_path, "ESP_0A1B2C3D")
    secret_files.make(tmp_path)
    path = tmp_path / "mosquitto" / "passwords"
    assert verifies(path.read_text(), "ESP_0A1B2C3D", password)
    devices.shut_out(tmp_path, "ESP_0A1B2C3D")
    assert not verifies(path.read_text(), "ESP_0A1B2C3D", password)


@pytest.mark.parametrize("esp_id", ["kaiser-ingest", "ESP_1:x", "ESP_1\nESP_2", "", "ESP_+"])
def test_only_a_device_gets_the_password_of_a_device(tmp_path, esp_id):
    secret_files.make(tmp_path)
    with pytest.raises(devices.NoDevice):
        devices.admit(tmp_path, esp_id)


def test_a_users_line_is_replaced_and_no_others():
    text = set_password(set_password("", "a", "first", b"salt-of-a---"), "ab", "other", b"salt-of-ab--")
    text = set_password(text, "a", "second", b"salt-of-a-2-")
    assert verifies(text, "a", "second")
    assert not verifies(text, "a", "first")
    assert verifies(text, "ab", "other")
    assert verifies(remove(text, "a"), "ab", "other")


def test_the_commands_need_nothing_but_the_standard_library(tmp_path):
    folder = tmp_path / "secrets"
    sources = [str(Path(package.__file__).parent.parent) for package in (kaiser_deploy, kaiser_common)]
    ended = subprocess.run(
        [sys.executable, "-I", "-S", "-c", _ISOLATED.format(sources=sources), "--folder", str(folder), "secrets"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert (folder / "nats-ingest").is_file()


_ISOLATED = "import runpy, sys; sys.path[:0] = {sources!r}; runpy.run_module('kaiser_deploy', run_name='__main__')"


def test_certs_says_until_when_the_certificate_is_valid_and_renews_it_by_the_same_authority(tmp_path):
    folder = tmp_path / "secrets"
    command = [sys.executable, "-m", "kaiser_deploy", "--folder", str(folder), "certs", "--host", "broker.example.org"]
    days = set()
    found = []
    for _ in range(2):
        days |= {datetime.now(UTC).date()}
        said = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout
        days |= {datetime.now(UTC).date()}
        assert any(f"the certificate ends on {day + timedelta(days=825)}" in said for day in days), said
        found.append([(folder / name).read_text() for name in ("authority/ca.crt", "tls/server.crt")])
    assert found[0][0] == found[1][0]
    assert found[0][1] != found[1][1]
