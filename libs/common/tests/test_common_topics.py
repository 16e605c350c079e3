"""Topics: built and parsed alike, and no two filters overlap."""

import pytest
from kaiser_common.contract.errors import Rejected
from kaiser_common.contract.topics import BROADCAST, DISCOVERED, Kind, build, filters, parse


@pytest.mark.parametrize("kind", Kind)
def test_a_topic_that_is_built_parses_to_what_it_was_built_from(kind: Kind) -> None:
    found = parse(build(kind, "god", "ESP_1", 5))
    assert found.kind is kind
    assert found.kaiser_id == (BROADCAST if kind is Kind.BROADCAST_EMERGENCY else "god")
    assert found.esp_id in ("ESP_1", BROADCAST, DISCOVERED)
    assert found.gpio in (5, None)


def test_an_answer_to_a_stop_is_no_response_of_an_actuator() -> None:
    assert parse("kaiser/god/esp/ESP_1/actuator/emergency/response").kind is Kind.EMERGENCY_RESPONSE
    assert parse("kaiser/god/esp/ESP_1/actuator/5/response").kind is Kind.ACTUATOR_RESPONSE
    assert any(filter_ == "kaiser/+/esp/+/actuator/+/response" for filter_ in filters())


def test_the_legacy_heartbeat_topic_is_a_heartbeat() -> None:
    assert parse("kaiser/god/esp/ESP_1/heartbeat").kind is Kind.HEARTBEAT


@pytest.mark.parametrize(
    ("kind", "kaiser_id", "esp_id", "gpio"),
    [
        (Kind.ACTUATOR_COMMAND, "g+d", "ESP_1", 5),
        (Kind.ACTUATOR_COMMAND, "god", "ESP_1/#", 5),
        (Kind.ACTUATOR_COMMAND, "god", "ESP_1", None),
        (Kind.ACTUATOR_COMMAND, "god", "ESP_1", 49),
        (Kind.SERVER_STATUS, "", "", None),
    ],
)
def test_no_topic_is_built_from_a_bad_id(kind: Kind, kaiser_id: str, esp_id: str, gpio: int | None) -> None:
    with pytest.raises(ValueError, match="of downlink"):
        build(kind, kaiser_id, esp_id, gpio)


def test_an_overlong_topic_is_rejected_with_a_short_text() -> None:
    with pytest.raises(Rejected) as caught:
        parse("x" * 65_535)
    assert caught.value.code == 5212
    assert len(caught.value.detail) < 200


def matches_both(one: str, other: str) -> bool:
    """True if some topic matches both filters."""
    levels, others = one.split("/"), other.split("/")
    return len(levels) == len(others) and all(a == b or "+" in (a, b) for a, b in zip(levels, others, strict=True))


def test_no_two_filters_match_the_same_topic() -> None:
    found = filters()
    assert len(found) == 37
    assert not [(a, b) for i, a in enumerate(found) for b in found[:i] if matches_both(a, b)]
    assert all("#" not in each for each in found)


def test_filters_of_one_site_name_it() -> None:
    assert "kaiser/god/esp/+/sensor/+/data" in filters("god")
