"""Which services a stack runs: the Procfile's, the factory's if any, the recorder if device messages are kept."""

from collections.abc import Iterable
from dataclasses import replace

from kaiser_stack.procfile import Entry
from kaiser_stack.settings import StackSettings

BOTH = '["esp", "factory"]'
_OF_FACTORY = Entry(
    "ingest-factory",
    ("kaiser-ingest",),
    {
        "KAISER_SITE": "factory",
        "KAISER_MQTT_DIALECTS": '["factory"]',
        "KAISER_MQTT_CLIENT_ID": "",
        "KAISER_OBSERVE": "[]",
        "KAISER_TOPICS_DIALECTS": '["factory"]',
    },
)


def with_factory(settings: StackSettings, entries: Iterable[Entry]) -> tuple[Entry, ...]:
    """A second ingest for the factory: a switch of its environment leaves the devices at their broker."""
    of_devices = {
        "KAISER_MQTT_DIALECTS": '["esp"]',
        "KAISER_TOPICS_DIALECTS": '["esp"]' if "esp" in settings.topics_dialects else "[]",
    }
    devices = (replace(each, settings=of_devices) if each.name == "ingest" else each for each in entries)
    return (*devices, _OF_FACTORY)


def with_services(settings: StackSettings, entries: Iterable[Entry]) -> tuple[Entry, ...]:
    """The factory's services where its dialect is spoken; the recorder also where messages of devices are kept."""
    names = ["factory", "recorder"] if "factory" in settings.mqtt_dialects else []
    if settings.keeps_devices and not names:
        names = ["recorder"]
    return (*entries, *(Entry(name, (f"kaiser-{name}",)) for name in names))
