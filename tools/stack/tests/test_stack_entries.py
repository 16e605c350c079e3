"""Which services a stack runs, and with which settings of their own."""

from pathlib import Path

import pytest
from kaiser_stack import procfile
from kaiser_stack.entries import BOTH, with_factory, with_services
from kaiser_stack.settings import StackSettings, load

ENTRIES = procfile.read(Path(__file__).parents[3] / "Procfile")


def settings_of(**environment: str) -> StackSettings:
    return load(environment)


@pytest.mark.parametrize(
    ("environment", "more"),
    [
        ({}, []),
        ({"KAISER_MQTT_DIALECTS": BOTH}, ["factory", "recorder"]),
        ({"KAISER_OBSERVE": '["kaiser/#"]'}, ["recorder"]),
        ({"KAISER_OBSERVE": "[]"}, []),
        ({"KAISER_TOPICS_DIALECTS": '["factory", "esp"]'}, ["recorder"]),
    ],
)
def test_a_stack_runs_what_its_settings_need(environment: dict[str, str], more: list[str]) -> None:
    found = with_services(settings_of(**environment), ENTRIES)
    assert [entry.name for entry in found] == [*(entry.name for entry in ENTRIES), *more]


def test_a_factory_has_an_ingest_of_its_own_so_that_devices_keep_their_broker() -> None:
    found = {entry.name: entry for entry in with_factory(settings_of(KAISER_OBSERVE='["kaiser/#"]'), ENTRIES)}
    assert found["ingest"].settings == {"KAISER_MQTT_DIALECTS": '["esp"]', "KAISER_TOPICS_DIALECTS": "[]"}
    assert found["ingest-factory"].command == ("kaiser-ingest",)
    own = found["ingest-factory"].settings
    assert (own["KAISER_MQTT_DIALECTS"], own["KAISER_SITE"], own["KAISER_OBSERVE"]) == ('["factory"]', "factory", "[]")
    esp = with_factory(settings_of(KAISER_TOPICS_DIALECTS='["factory", "esp"]'), ENTRIES)
    assert next(each for each in esp if each.name == "ingest").settings["KAISER_TOPICS_DIALECTS"] == '["esp"]'
