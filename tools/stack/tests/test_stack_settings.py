"""The stack's settings: defaults, addresses of one's own, and what cannot be used."""

from pathlib import Path

import pytest
from kaiser_stack.errors import SetupError
from kaiser_stack.settings import load


def test_nothing_set_means_the_documented_defaults():
    settings = load({})
    assert (settings.http_port, settings.nats_port, settings.mqtt_port) == (8000, 4222, 1883)
    assert settings.state_dir == Path(".kaiser").absolute()
    assert settings.admin_user == "admin"
    assert (settings.nats_url, settings.database_url, settings.mqtt_host) == ("", "", "")


def test_an_empty_variable_counts_as_not_set():
    assert load({"KAISER_HTTP_PORT": "", "KAISER_LOG_LEVEL": "", "KAISER_STATE_DIR": ""}) == load({})


def test_port_0_is_a_free_one():
    assert load({"KAISER_HTTP_PORT": "0"}).http_port > 1023


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("KAISER_HTTP_PORT", "abc"),
        ("KAISER_MQTT_PORT", "-1"),
        ("KAISER_NATS_PORT", "65536"),
        ("KAISER_LOG_LEVEL", "loud"),
        ("KAISER_LOG_FORMAT", "xml"),
        ("KAISER_MQTT_BROKER", "emqx"),
    ],
)
def test_a_value_that_cannot_be_used_is_named_in_one_line(name: str, value: str):
    with pytest.raises(SetupError) as refused:
        load({name: value})
    assert f"{name}={value!r}" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_two_servers_on_one_port_are_refused():
    with pytest.raises(SetupError, match="KAISER_HTTP_PORT and KAISER_NATS_PORT are both 4222"):
        load({"KAISER_HTTP_PORT": "4222"})


def test_a_server_of_ones_own_may_have_any_port():
    assert load({"KAISER_MQTT_PORT": "8000", "KAISER_MQTT_HOST": "broker.example"}).mqtt_port == 8000
