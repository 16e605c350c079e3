"""Causes of rejected messages, counted; tables and a property."""

from hypothesis import given
from hypothesis import strategies as st
from kaiser_common.contract.schemas.api.rejected import RejectedCause
from kaiser_common.contract.schemas.event import RejectedMessage
from kaiser_ingest.domain.causes import CauseCounts


def rejected(code: int, **fields: object) -> RejectedMessage:
    given = {"topic": "kaiser/god/esp/X/y", "payload_base64": "", "message": "m", "received_at": 1, **fields}
    return RejectedMessage.model_validate({"code": code, **given})


def test_messages_of_one_code_field_and_sender_are_one_cause_and_the_most_frequent_is_first():
    counts = CauseCounts()
    for seq, message in (
        (3, rejected(5001, esp_id="ESP_A", message="first", received_at=30)),
        (1, rejected(5001, esp_id="ESP_A", message="oldest", received_at=10)),
        (9, rejected(5205, esp_id="ESP_A", field="raw", received_at=90)),
        (4, rejected(5001, serial="SVR1", received_at=40)),
        (5, rejected(5212, topic="a/b", received_at=50)),
        (8, rejected(5212, topic="a/b", message="newest", received_at=80)),
        (7, rejected(5212, topic="a/c", received_at=70)),
    ):
        counts.add(seq, message)
    items, left_out = counts.most_frequent(4)
    assert [(one.code, one.field, one.esp_id, one.serial, one.topic, one.count) for one in items] == [
        (5212, "", None, None, "a/b", 2),
        (5001, "", "ESP_A", None, None, 2),
        (5205, "raw", "ESP_A", None, None, 1),
        (5212, "", None, None, "a/c", 1),
    ]
    assert (left_out, counts.looked_at) == (1, 7)
    assert (items[0].message, items[0].newest_seq, items[0].newest_at, items[0].oldest_at) == ("newest", 8, 80, 50)
    assert (items[1].message, items[1].newest_seq, items[1].oldest_at) == ("first", 3, 10)


MESSAGES = st.builds(
    lambda code, field, esp_id, serial, topic: rejected(code, field=field, esp_id=esp_id, serial=serial, topic=topic),
    st.sampled_from([5001, 5205]),
    st.sampled_from([None, "raw"]),
    st.sampled_from([None, "ESP_A", "ESP_B"]),
    st.sampled_from([None, "S1"]),
    st.sampled_from(["kaiser/a", "kaiser/b"]),
)


@given(st.lists(MESSAGES, max_size=30))
def test_each_message_has_the_cause_under_which_it_is_counted_and_no_other(messages):
    counts = CauseCounts()
    for seq, message in enumerate(messages):
        counts.add(seq, message)
    items, _ = counts.most_frequent(1000)
    assert sum(one.count for one in items) == len(messages)
    for one in items:
        cause = RejectedCause(code=one.code, field=one.field, esp_id=one.esp_id, serial=one.serial, topic=one.topic)
        assert sum(cause.covers(message) for message in messages) >= one.count
    for message in messages:
        assert RejectedCause(code=message.code).covers(message)
        assert not RejectedCause(code=message.code + 1).covers(message)
