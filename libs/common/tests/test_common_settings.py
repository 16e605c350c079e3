"""Settings: what is misspelt, and what a service says of a value that it cannot use."""

import os
import re
from pathlib import Path

import forked
import pytest
import yaml
from kaiser_common.runtime import known_settings
from kaiser_common.runtime.settings import CommonSettings, SettingsError, load
from pydantic import Field, IPvAnyNetwork, SecretStr, model_validator

ROOT = Path(__file__).parents[3]
ENTRIES = [line.split(":")[1].strip() for line in (ROOT / "Procfile").read_text().splitlines()]
PROGRAMS = [*ENTRIES, "kaiser-factory", "kaiser-recorder", "kaiser-migrate", "kaiser-doctor"]


@pytest.mark.parametrize(
    ("name", "value", "meant"),
    [
        ("KAISER_HTPP_PORT", "9000", "KAISER_HTTP_PORT"),
        ("kaiser_htpp_port", "9000", "KAISER_HTTP_PORT"),
        ("KAISER_SENSOR_BACH", "10", "KAISER_SENSOR_BATCH"),
        ("KAISER_MQTT_PORTS", "tcp://10.0.0.1:80", "KAISER_MQTT_PORT"),
        ("KAISER_XYZZY", "", None),
    ],
)
def test_a_misspelt_setting_is_named_with_the_one_that_was_meant(name: str, value: str, meant: str | None):
    with pytest.raises(known_settings.UnknownSetting) as refused:
        known_settings.check({"HOME": "/", "KAISER_HTTP_PORT": "1", name: value})
    what = f"did you mean {meant}?" if meant else "unset it; docs/operating.md lists them"
    assert str(refused.value) == f"{name} is no setting: {what}"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("KAISER_HTTP_PORT", "80"),
        ("kaiser_http_port", "80"),
        ("KAISER_SENSOR_BATCH", "of another service"),
        ("KAISER_SECRETS_DIR", "of the Makefile"),
        ("KAISER_URL", "of the command line"),
        ("KAISER_TEST_FORK", "0"),
        ("KAISER_FARM_WEB_SERVICE_HOST", "10.0.0.1"),
        ("KAISER_FARM_WEB_SERVICE_PORT_HTTP", "80"),
        ("KAISER_FARM_WEB_PORT", "tcp://10.0.0.1:80"),
        ("KAISER_FARM_WEB_PORT_80_TCP_ADDR", "10.0.0.1"),
        # A Service that is named kaiser itself.
        ("KAISER_SERVICE_HOST", "10.0.0.1"),
        ("KAISER_SERVICE_PORT", "80"),
        ("KAISER_SERVICE_PORT_HTTP", "80"),
        ("KAISER_PORT", "tcp://10.0.0.1:80"),
        ("KAISER_PORT_80_TCP", "tcp://10.0.0.1:80"),
        ("KAISER_PORT_80_TCP_PROTO", "tcp"),
        ("KAISER_PORT_80_TCP_PORT", "80"),
        ("KAISER_PORT_80_TCP_ADDR", "10.0.0.1"),
        ("PATH", "/bin"),
    ],
)
def test_what_another_program_reads_or_kubernetes_adds_is_no_mistake(name: str, value: str):
    known_settings.check({name: value})


def test_compose_gives_no_program_a_setting_that_none_has():
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    given = {
        name: {str(each).split("=")[0] for each in service.get("environment") or ()}
        for name, service in services.items()
        if name != "grafana"
    }
    assert any("KAISER_DATABASE_URL" in names for names in given.values())
    unknown = {name for names in given.values() for name in names if name.startswith("KAISER_")} - known_settings.KNOWN
    assert unknown == set()


def test_make_up_knows_each_setting_that_compose_takes():
    taken = set(re.findall(r"(?<!\$)\$\{(KAISER_\w+)", (ROOT / "compose.yaml").read_text()))
    assert {"KAISER_NATS_GOMEMLIMIT", "KAISER_HTTP_PORT"} <= taken
    assert taken <= known_settings.KNOWN


@pytest.mark.parametrize("program", PROGRAMS)
def test_each_program_refuses_a_setting_that_none_has_and_takes_those_of_others(program: str):
    environment = {
        "PATH": os.environ["PATH"],
        "KAISER_HTPP_PORT": "9000",
        "KAISER_SENSOR_BATCH": "10",
        "KAISER_COMPAT": "1",
        "KAISER_MQTT_BROKER": "nats",
    }
    done = forked.run([program], env=environment, timeout=120)
    assert done.returncode == 2
    assert done.stderr == f"{program}: KAISER_HTPP_PORT is no setting: did you mean KAISER_HTTP_PORT?\n"


class Trial(CommonSettings):
    """Settings with a list, a secret, and two that must fit together."""

    cors_origins: list[str] = []
    alarm_channel_networks: list[IPvAnyNetwork] = []
    alarm_key: SecretStr = Field(default=SecretStr(""), max_length=8)

    @model_validator(mode="after")
    def _fit(self) -> "Trial":
        if self.nats_user and not self.nats_password.get_secret_value():
            raise ValueError("KAISER_NATS_USER has no password")
        return self


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (
            {"KAISER_NATS_PORT": "abc"},
            "KAISER_NATS_PORT='abc': Input should be a valid integer, unable to parse string as an integer",
        ),
        ({"KAISER_CORS_ORIGINS": "http://a"}, "KAISER_CORS_ORIGINS='http://a': it must be JSON, such as [\"…\"]"),
        (
            {"KAISER_ALARM_CHANNEL_NETWORKS": '["10.1.0.0/16", "10.2.0.1/16"]'},
            "KAISER_ALARM_CHANNEL_NETWORKS=…, entry 2: value is not a valid IPv4 or IPv6 network",
        ),
        (
            {"KAISER_ALARM_KEY": "a secret sentence"},
            "KAISER_ALARM_KEY=…: Value should have at most 8 items after validation, not 17",
        ),
        (
            {"KAISER_NATS_USER": "ada", "KAISER_DATABASE_URL": "postgresql://ada:secret@db"},
            "KAISER_NATS_USER has no password",
        ),
    ],
)
def test_a_value_that_cannot_be_used_is_told_in_one_line_without_secrets(
    given: dict[str, str], text: str, monkeypatch: pytest.MonkeyPatch
):
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as refused:
        load(Trial)
    assert str(refused.value) == f"bad setting: {text}"
