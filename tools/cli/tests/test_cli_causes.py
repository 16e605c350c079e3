"""A cause of rejected messages as one word: what is shown selects the same messages again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kaiser_cli.cause_texts import cause_of, cause_text
from kaiser_cli.exits import WRONG_USE, Stopped
from kaiser_common.contract.schemas.api.rejected import CauseItem, RejectedCause
from kaiser_common.contract.schemas.event import RejectedMessage


def rejected(code: int = 5206, **fields: str) -> RejectedMessage:
    given = {"topic": "a", "payload_base64": "", "code": code, "message": "m", "received_at": 1, **fields}
    return RejectedMessage.model_validate(given)


def listed(message: RejectedMessage) -> CauseItem:
    """The cause of a message, as the server lists it."""
    of_sender = {"esp_id": message.esp_id, "serial": message.serial}
    if not any(of_sender.values()):
        of_sender = {"topic": message.topic}
    numbers = {"count": 1, "newest_seq": 1, "newest_at": 1, "oldest_at": 1}
    given = {"code": message.code, "field": message.field or "", "message": "m", **of_sender, **numbers}
    return CauseItem.model_validate(given)


@pytest.mark.parametrize(
    ("message", "word"),
    [
        (rejected(5001, field="esp_id", esp_id="ESP_0A1B2C3D"), "5001/esp_id/ESP_0A1B2C3D"),
        (rejected(serial="SVR3QA2098"), "5206//serial/SVR3QA2098"),
        (rejected(serial="ESP_1"), "5206//serial/ESP_1"),
        (rejected(esp_id="GOD"), "5206//esp_id/GOD"),
        (rejected(topic="ccu/order/request"), "5206//topic/ccu/order/request"),
        (rejected(topic="ESP_1"), "5206//topic/ESP_1"),
        (rejected(topic="serial/SVR3QA2098"), "5206//topic/serial/SVR3QA2098"),
        (rejected(field="sensors[0].raw", esp_id="ESP_1"), "5206/sensors[0].raw/ESP_1"),
        (rejected(field="a/b", esp_id="ESP_1"), "5206/a%2Fb/ESP_1"),
        (rejected(field="*", esp_id="ESP_1"), "5206/%2A/ESP_1"),
    ],
)
def test_a_cause_is_one_word_that_names_its_kind_of_sender(message: RejectedMessage, word: str):
    assert cause_text(listed(message)) == word
    assert cause_of(word).covers(message)


SERIALS = st.from_regex(r"[A-Za-z0-9_.:-]{1,64}", fullmatch=True) | st.sampled_from(["SVR3QA2098", "ESP_1", "24"])
TOPICS = st.text(min_size=1, max_size=40) | st.sampled_from(["a", "ESP_1", "serial/SVR3QA2098", "topic/a", "/j1/txt"])
SENDERS = st.one_of(
    st.builds(lambda esp_id: {"esp_id": esp_id}, st.from_regex(r"[A-Z0-9_]{1,32}", fullmatch=True)),
    st.builds(lambda serial: {"serial": serial}, SERIALS),
    st.builds(lambda topic: {"topic": topic}, TOPICS),
)
FIELDS = st.sampled_from(["", "esp_id", "*", "a/b", "100%", "sensors[3].raw"]) | st.text(max_size=40)
MESSAGES = st.builds(
    lambda code, field, sender: rejected(code, field=field, **sender), st.sampled_from([5001, 5206]), FIELDS, SENDERS
)


@given(MESSAGES, MESSAGES)
def test_the_word_of_a_cause_selects_the_messages_of_this_cause_and_no_others(
    message: RejectedMessage, other: RejectedMessage
):
    item = listed(message)
    cause = cause_of(cause_text(item))
    assert cause == RejectedCause(
        code=item.code, field=item.field, esp_id=item.esp_id, serial=item.serial, topic=item.topic
    )
    assert cause.covers(message)
    assert cause.covers(other) == (listed(other) == item)


def test_a_part_of_a_cause_may_be_any():
    assert cause_of("5206") == RejectedCause(code=5206)
    assert cause_of("5206/") == RejectedCause(code=5206, field="")
    assert cause_of("5206/*/ESP_1") == RejectedCause(code=5206, esp_id="ESP_1")


@pytest.mark.parametrize(
    "word",
    ["all", "206", "4001", "5206/raw/", "5206//SVR3QA2098", "5206//serial/", "5206//serial/a b", "5206//ccu/order"],
)
def test_a_word_that_is_no_cause_is_refused_before_anything_is_asked(word: str):
    with pytest.raises(Stopped) as stopped:
        cause_of(word)
    assert stopped.value.exit_code == WRONG_USE
    assert "kaiser rejected --groups" in stopped.value.message
