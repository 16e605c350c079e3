"""A stop of everything in a few bus messages: packs of what each device of a site is sent; pure.

The lines of a pack differ in the ids and the token of a device alone, so the JSON of a line is made once and cut at
these places. A device whose ids or token JSON would escape, or whose message must be shortened to fit, has a line that
is made as its single message is.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from typing import NamedTuple

from kaiser_common.bus.connection import Outgoing
from kaiser_common.contract.catalogue import DOWNLINK
from kaiser_common.contract.pack import bounded, encode
from kaiser_common.contract.schemas.api.actuators import Emergency
from kaiser_common.contract.schemas.event import OutboxMessage
from kaiser_common.contract.subjects import stop_pack_subject
from kaiser_common.contract.topics import Kind

from kaiser_actuator.domain.addresses import Address
from kaiser_actuator.domain.outgoing import off_message, stop_message

_ESP_ID, _TOKEN, _GPIO = "ESP_0", "0", 0
"""Of the sample: as short as they can be, so that no line is shorter."""
_LONGEST_CHARACTER = 6
"""Bytes that JSON takes at most for one byte of a text: a text that was cut leaves less room than that."""
_PLAIN = re.compile(r"[A-Za-z0-9_-]+\Z")
"""A text that JSON writes as it is."""

Pin = tuple[Address, int]


class _Cut(NamedTuple):
    """A line cut at the id and the token of its device. room: the most bytes of both together."""

    before: str
    between: str
    after: str
    room: int


def own_stops(
    addresses: Iterable[Address], stop: Emergency, now_ms: int, occasion: str, *, urgent: bool
) -> list[Outgoing]:
    """The own message of each device under a stop of everything (`stop_message`), packed by site."""
    lines: dict[str, list[tuple[Address, bytes]]] = {}
    cuts: dict[str, _Cut] = {}
    for address in addresses:
        site, esp_id, token = address
        if site not in cuts:
            cuts[site] = _cut_of_stop(site, stop, now_ms, occasion, urgent=urgent)
        cut = cuts[site]
        if len(esp_id) + len(token) <= cut.room and _PLAIN.match(esp_id) and _PLAIN.match(token):
            line = f"{cut.before}{esp_id}{cut.between}{token}{cut.after}".encode()
        else:
            line = _line(stop_message(address, stop, now_ms, occasion, urgent=urgent))
        lines.setdefault(site, []).append((address, line))
    messages: list[Outgoing] = []
    for site, of_site in lines.items():
        if len(of_site) == 1:
            messages.append(stop_message(of_site[0][0], stop, now_ms, occasion, urgent=urgent))
            continue
        messages += _packs(stop_pack_subject(site, urgent=urgent), [line for _, line in of_site])
    return messages


def offs(pins: Sequence[Pin], stop: Emergency, now_ms: int, occasion: str) -> list[Outgoing]:
    """OFF for each of these actuators under a stop of everything (`off_message`), packed by site."""
    by_site: dict[str, list[Pin]] = {}
    for pin in pins:
        by_site.setdefault(pin[0].kaiser_id, []).append(pin)
    messages: list[Outgoing] = []
    for site, of_site in by_site.items():
        if len(of_site) == 1:
            [(address, gpio)] = of_site
            messages.append(off_message(address, gpio, stop, now_ms, occasion))
            continue
        messages += _packs(stop_pack_subject(site, urgent=True), _off_lines(of_site, stop, now_ms, occasion))
    return messages


def _off_lines(pins: Sequence[Pin], stop: Emergency, now_ms: int, occasion: str) -> Iterator[bytes]:
    sample = _line(off_message(Address(pins[0][0].kaiser_id, _ESP_ID, _TOKEN), _GPIO, stop, now_ms, occasion))
    before, _, after = sample.decode().partition(f"/esp/{_ESP_ID}/actuator/{_GPIO}/")
    room = _room(sample, DOWNLINK[Kind.ACTUATOR_COMMAND].most_bytes) + len(f"{_ESP_ID}{_GPIO}")
    for address, gpio in pins:
        if len(f"{address.esp_id}{gpio}") <= room and _PLAIN.match(address.esp_id) is not None:
            yield f"{before}/esp/{address.esp_id}/actuator/{gpio}/{after}".encode()
        else:
            yield _line(off_message(address, gpio, stop, now_ms, occasion))


def _cut_of_stop(site: str, stop: Emergency, now_ms: int, occasion: str, *, urgent: bool) -> _Cut:
    sample = _line(stop_message(Address(site, _ESP_ID, _TOKEN), stop, now_ms, occasion, urgent=urgent))
    device, token = f"/esp/{_ESP_ID}/", f'auth_token\\":\\"{_TOKEN}'
    before, _, rest = sample.decode().partition(device)
    between, _, after = rest.partition(token)
    most_bytes = min(DOWNLINK[kind].most_bytes for kind in (Kind.EMERGENCY, Kind.BROADCAST_EMERGENCY))
    return _Cut(
        before + device.removesuffix(f"{_ESP_ID}/"),
        f"/{between}{token.removesuffix(_TOKEN)}",
        after,
        _room(sample, most_bytes) + len(_ESP_ID + _TOKEN),
    )


def _room(sample: bytes, most_bytes: int) -> int:
    """By how many bytes topic and payload of a line may be longer; far too few for any if a text of it was shortened to
    fit, which depends on these bytes."""
    message = OutboxMessage.model_validate_json(sample)
    room = most_bytes - len(message.topic.encode()) - len(message.payload.encode())
    return room if room >= _LONGEST_CHARACTER else -most_bytes


def _line(message: Outgoing) -> bytes:
    return OutboxMessage.model_validate_json(message.body).model_dump_json(exclude_defaults=True).encode()


def _packs(subject: str, lines: Iterable[bytes]) -> list[Outgoing]:
    """Lines in packs of the usual size. The id of a pack is that of its content, in which the expiry is of the ms."""
    bodies = [encode(part) for part in bounded(lines)]
    return [Outgoing(subject, body, f"pack-{subject}-{blake2b(body, digest_size=16).hexdigest()}") for body in bodies]
