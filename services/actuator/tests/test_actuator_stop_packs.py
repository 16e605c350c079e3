"""Packs of a stop of everything: they say to each device what its own single message says."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kaiser_actuator.domain.addresses import Address
from kaiser_actuator.domain.outgoing import off_message, stop_message
from kaiser_actuator.domain.stop_packs import offs, own_stops
from kaiser_common.bus.connection import Outgoing
from kaiser_common.contract.pack import MOST_BYTES, MOST_LINES
from kaiser_common.contract.schemas.api.actuators import Emergency
from kaiser_common.contract.schemas.event import OutboxMessage

NOW = 1_767_225_600_000
OCCASION = f"raised-{NOW}"
SITES = st.sampled_from(("god", "north", "ESP_0", "k" * 32))
ESP_IDS = st.from_regex(r"(?:ESP|MOCK|SIM|TEST)_[A-Z0-9_]{1,27}", fullmatch=True)
TOKENS = st.one_of(st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True), st.text(min_size=1, max_size=64), ESP_IDS)
ADDRESSES = st.lists(st.builds(Address, SITES, ESP_IDS, TOKENS), max_size=8, unique_by=lambda each: each.esp_id)
TEXTS = st.one_of(st.text(max_size=200), st.sampled_from(("ESP_0", "/esp/ESP_0/", 'auth_token\\":\\"0', "水" * 200)))


def stop(reason: str = "leak", by: str = "ada", **fields) -> Emergency:
    given = {"emergency_id": "e1", "reason": reason, "raised_by": by, "raised_at": NOW, "number": 7, **fields}
    return Emergency(**given)


def messages(found: list[Outgoing]) -> dict[str, tuple[str, OutboxMessage]]:
    """By topic: the subject, and what stands in the message or line."""
    unpacked = {}
    for message in found:
        for line in message.body.split(b"\n"):
            one = OutboxMessage.model_validate_json(line)
            assert one.topic not in unpacked, "each device once"
            unpacked[one.topic] = (message.subject, one)
    return unpacked


@given(ADDRESSES, TEXTS, TEXTS, st.booleans())
def test_a_line_says_to_its_device_what_its_single_message_says(addresses, reason, by, urgent):
    one = stop(reason, by)
    packed = messages(own_stops(addresses, one, NOW, OCCASION, urgent=urgent))
    assert len(packed) == len(addresses)
    for address in addresses:
        single = OutboxMessage.model_validate_json(stop_message(address, one, NOW, OCCASION, urgent=urgent).body)
        assert packed[single.topic][1] == single


@given(ADDRESSES, st.integers(0, 48), TEXTS)
def test_a_line_of_off_says_what_the_single_message_says(addresses, gpio, by):
    one = stop(by=by)
    packed = messages(offs([(address, gpio) for address in addresses], one, NOW, "on"))
    assert len(packed) == len(addresses)
    for address in addresses:
        single = OutboxMessage.model_validate_json(off_message(address, gpio, one, NOW, "on").body)
        assert packed[single.topic][1] == single


@pytest.mark.parametrize(("urgent", "subject"), [(True, "mqtt.urgent.{}.="), (False, "mqtt.out.{}.=.stop")])
def test_each_site_has_packs_of_its_own_and_a_device_alone_its_single_message(urgent, subject):
    addresses = [Address(site, f"ESP_{number}", "t") for number, site in enumerate(("god", "north", "god"))]
    packed = messages(own_stops(addresses, stop(), NOW, OCCASION, urgent=urgent))
    assert [subject_of for subject_of, _ in packed.values()] == [
        subject.format("god"),
        subject.format("god"),
        stop_message(addresses[1], stop(), NOW, OCCASION, urgent=urgent).subject,
    ]


def test_a_fleet_is_a_few_packs_within_the_bounds_of_one():
    fleet = [Address("god", f"ESP_{number:027}", "t" * 64) for number in range(2500)]
    packs = own_stops(fleet, stop("x" * 64), NOW, OCCASION, urgent=True)
    assert len(messages(packs)) == len(fleet)
    assert len({pack.msg_id for pack in packs}) == len(packs) <= 4
    assert all(pack.body.count(b"\n") < MOST_LINES and len(pack.body) <= MOST_BYTES for pack in packs)


def test_another_copy_of_a_stop_has_another_id_and_the_same_one_the_same():
    fleet = [Address("god", f"ESP_{number}", "t") for number in range(3)]
    first, again, later = (
        own_stops(fleet, stop(), at, f"raised-{at}", urgent=True)[0].msg_id for at in (NOW, NOW, NOW + 1)
    )
    assert first == again != later


def test_the_longest_ids_and_token_are_never_too_long_for_the_firmware():
    fleet = [Address("k" * 32, f"ESP_{number:027}", "t" * 64) for number in range(3)]
    for reason in ("", "x" * 64, "水" * 64, "\x01" * 64):
        for _, message in messages(own_stops(fleet, stop(reason), NOW, OCCASION, urgent=True)).values():
            assert len(message.topic.encode()) + len(message.payload.encode()) <= 255
            assert json.loads(message.payload)["auth_token"] == "t" * 64
