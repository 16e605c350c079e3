"""The rights to publish and read topics at the MQTT broker of `make run`.

They are those of deploy/mosquitto/access.conf, both for Mosquitto and for NATS. A device with its own password may
publish only under its own id. The user `kaiser-device` stands for every device on this machine and may publish what
devices publish, under any id. Neither may publish what Kaiser publishes.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from kaiser_stack.errors import SetupError

CONFIGURATION = Path(__file__).parents[4] / "deploy" / "mosquitto" / "access.conf"
_ANY_DEVICE_TOO = "kaiser/+/discovery/esp32_nodes"
"""A topic of old devices that names none of them: a device with a name of its own has no need of it."""
_STATISTICS = "$SYS/broker/#"
"""The broker's own figures, for the doctor."""
_MQTT_OF_NATS = ("$MQTT.sub.>", "$MQTT.deliver.pubrel.>")
"""Where NATS's MQTT listener reads a client's messages of QoS 1 and 2."""


@dataclass(frozen=True, slots=True)
class Rights:
    """Topic filters of MQTT."""

    write: tuple[str, ...]
    read: tuple[str, ...]

    def of(self, esp_id: str) -> "Rights":
        """The rights of one device, by its user name; `+` stands for any."""
        return Rights(
            tuple(each.replace("%u", esp_id) for each in self.write),
            tuple(each.replace("%u", esp_id) for each in self.read),
        )


@dataclass(frozen=True, slots=True)
class BrokerRights:
    """device: of a device, `%u` in place of its name. ingest: of ingest."""

    device: Rights
    ingest: Rights

    @property
    def any_device(self) -> Rights:
        """All that stands on this machine for a device or a factory, and the doctor."""
        factory = tuple(each for each in self.ingest.read if not each.startswith(("kaiser/", "$")))
        one = self.device.of("+")
        return Rights((*one.write, _ANY_DEVICE_TOO, *factory), (*one.read, *factory, _STATISTICS))


def load(path: Path = CONFIGURATION) -> BrokerRights:
    """Read the rights. SetupError where the file is not there."""
    try:
        lines = path.read_text().splitlines()
    except OSError as error:
        raise SetupError(f"the rights at the MQTT broker are in {path}: {error.strerror}") from error
    return parse(lines)


def parse(lines: Iterable[str]) -> BrokerRights:
    """Mosquitto's access list: `pattern` lines are a device's, those of the user kaiser-ingest are ingest's."""
    user = ""
    found: dict[tuple[str, str], list[str]] = {}
    for line in lines:
        match line.split():
            case ["user", name]:
                user = name
            case ["pattern", access, topic_filter]:
                found.setdefault(("device", access), []).append(topic_filter)
            case ["topic", access, topic_filter]:
                found.setdefault((user, access), []).append(topic_filter)

    def rights(name: str) -> Rights:
        return Rights(tuple(found.get((name, "write"), ())), tuple(found.get((name, "read"), ())))

    return BrokerRights(rights("device"), rights("kaiser-ingest"))


def mosquitto_list(access: BrokerRights, ingest: str, any_device: str) -> str:
    """Mosquitto's access list; a client without a name has the rights of any device."""
    return "".join(
        [
            _lines("topic", access.any_device),
            _lines("pattern", access.device),
            f"user {any_device}\n",
            _lines("topic", access.any_device),
            f"user {ingest}\n",
            _lines("topic", access.ingest),
        ]
    )


def nats_permissions(rights: Rights) -> str:
    """The permissions of a user of NATS's MQTT listener, as they stand in its configuration."""
    publish = [subject for each in rights.write for subject in subjects(each)]
    subscribe = [*(subject for each in rights.read for subject in subjects(each)), *_MQTT_OF_NATS]
    allowed = {"publish": {"allow": publish}, "subscribe": {"allow": subscribe}}
    return f"permissions: {json.dumps(allowed)}"


def subjects(topic_filter: str) -> list[str]:
    """The subjects of NATS that stand for a topic filter; `#` stands for its parent too."""
    levels = [{"": "/", "+": "*", "#": ">"}.get(level, level) for level in topic_filter.split("/")]
    whole = [".".join(levels)]
    return [".".join(levels[:-1]), *whole] if levels[-1] == ">" and len(levels) > 1 else whole


def _lines(word: str, rights: Rights) -> str:
    return "".join(
        [
            *(f"{word} write {each}\n" for each in rights.write),
            *(f"{word} read {each}\n" for each in rights.read),
        ]
    )
