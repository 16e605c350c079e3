"""Writes deploy/mosquitto/access.conf from the catalogues: who may read and write which topics at the broker."""

from kaiser_common.contract.catalogue import UPLINKS
from kaiser_common.contract.topics import filters
from kaiser_factory_dialect.catalogue import ROWS
from kaiser_factory_dialect.filters import subscriptions

_DROPPED = "$SYS/broker/publish/messages/dropped"
_LEVELS = {"{i}": "uagv", "{v}": "v2", "{m}": "+", "{s}": "+", "{n}": "+"}
"""The levels that stand for the names in the factory's topics; commands go to VDA 5050 vehicles of version 2."""


def render() -> str:
    """The whole file."""
    return "\n".join([*_devices(), "", *_ingest(), *_factory(), "", *_machines(), "", *_probe(), ""])


def _devices() -> list[str]:
    topics = [row.topic for row in UPLINKS if "{esp}" in row.topic] + [topic for row in UPLINKS for topic in row.older]
    return [
        "# Written by `make grants` from the catalogues of messages. Who may read and write which topics; all else is",
        "# refused. The topics are those of docs/devices.md.",
        "",
        "# A device, whose user name is its esp_id, publishes under its own id and reads what is for it or for all.",
        "# It can leave retained messages on these topics alone.",
        *(f"pattern write {topic.format(k='+', esp='%u', gpio='+')}" for topic in topics),
        "pattern read kaiser/+/esp/%u/#",
        "pattern read kaiser/broadcast/#",
        "pattern read kaiser/+/server/status",
    ]


def _ingest() -> list[str]:
    return [
        "# ingest, the only part of Kaiser at the broker: the filters that it subscribes, and what it says for the"
        " others.",
        "user kaiser-ingest",
        *(f"topic read {each}" for each in (*filters(), _DROPPED)),
        "topic write kaiser/+/esp/#",
        "topic write kaiser/broadcast/#",
        "topic write kaiser/+/server/status",
    ]


def _factory() -> list[str]:
    commands = [row.template for row in ROWS if row.direction in ("in", "both")]
    topics = ["/".join(_LEVELS.get(level, level) for level in template.split("/")) for template in commands]
    return [
        "# The factory, where ingest speaks its dialect (KAISER_MQTT_DIALECTS): what it says, and the commands that it"
        " takes.",
        *(f"topic read {each}" for each in sorted(subscriptions())),
        *(f"topic write {each}" for each in dict.fromkeys(topics)),
    ]


def _machines() -> list[str]:
    topics = sorted(subscriptions())
    return [
        "# The machines of a factory at this broker share a user: they see and answer each other's messages too.",
        "user kaiser-factory",
        *(f"topic readwrite {each}" for each in topics),
    ]


def _probe() -> list[str]:
    return ["# The health check of the container.", "user kaiser-probe", "topic read $SYS/broker/uptime"]
