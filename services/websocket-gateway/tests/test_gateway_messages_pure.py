"""The messages that a viewer gets, their form, and how two of them differ."""

import asyncio
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kaiser_common.contract.schemas.api.messages import CheckMessage
from kaiser_common.contract.schemas.factory import FactoryEnvironment
from kaiser_factory_dialect.subjects import topic_subject
from kaiser_gateway.api.messages import _sought
from kaiser_gateway.domain.asyncapi_messages import FRAMES
from kaiser_gateway.domain.details import details_of, diff_of
from kaiser_gateway.domain.difference import differences
from kaiser_gateway.domain.kept import SHOWN_BYTES, TopicMessage, kept_of
from kaiser_gateway.domain.message_frames import (
    conflated_frame,
    item_of,
    messages_frame,
    opened_frame,
    pong_frame,
    ready_frame,
)
from kaiser_gateway.domain.selection import TopicSelection, WrongFilter
from kaiser_gateway.domain.topic_index import TopicIndex
from pydantic import ValidationError

LIVE = FactoryEnvironment(env="live", kind="live", epoch=1)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "id"]), inner, max_size=3),
    max_leaves=12,
)


def kept(seq: int = 1, topic: str = "ccu/state/stock", payload: bytes = b"{}", word: str = "ccu.stock") -> TopicMessage:
    return TopicMessage(seq, topic, 1000, len(payload), 1, False, False, word, payload)


class Stored:
    """A message as a stream delivers it."""

    def __init__(self, topic: str, body: bytes, **headers: str) -> None:
        self.subject = topic_subject("live", topic)
        self.body = body
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}
        self.stream_sequence = 7
        self.timestamp_ns = 5_000_000


def test_a_message_says_what_ingest_wrote_in_its_headers():
    stored = Stored(
        "/j1/txt/1/i/bme680",
        b"x",
        Mqtt_Qos="2",
        Mqtt_Retain="1",
        Kaiser_Received_At="1700000000123456789",
        Kaiser_Verdict="5209",
        Kaiser_Own="1",
        Kaiser_Length="900000",
    )
    assert kept_of(stored).to_head().model_dump() == {
        "seq": 7,
        "topic": "/j1/txt/1/i/bme680",
        "received_at": 1_700_000_000_123,
        "size": 900_000,
        "qos": 2,
        "retained": True,
        "own": True,
        "verdict": "reject",
        "kind": None,
        "reason": None,
        "code": 5209,
    }


def test_a_message_without_headers_of_ingest_is_shown_too():
    found = kept_of(Stored("a", b"", Kaiser_Received_At="no number"))
    assert (found.received_at, found.size, found.verdict) == (5, 0, "ignore")


@pytest.mark.parametrize(
    ("word", "verdict"), [("module.state", "accept"), ("observed", "ignore"), ("retained_command", "ignore")]
)
def test_the_word_of_ingest_is_a_verdict(word: str, verdict: str):
    assert kept(word=word).verdict == verdict


@pytest.mark.parametrize(
    ("payload", "shown"),
    [
        (b'{"a": 1}', {"payload": '{"a": 1}'}),
        (b"", {"payload": ""}),
        (b"\xff\x00", {"payload_base64": "/wA="}),
        (b"x" * (SHOWN_BYTES + 1), {}),
    ],
)
def test_a_payload_is_text_or_base64_or_too_large(payload: bytes, shown: dict[str, str]):
    item = json.loads(item_of(kept(payload=payload), 3))
    assert {name: value for name, value in item.items() if name.startswith("payload")} == shown
    assert (item["size"], item["held"]) == (len(payload), 3)


def test_a_frame_is_json_whatever_the_payload():
    hostile = kept(payload='"</script>\u2028\x01'.encode())
    frame = json.loads(messages_frame([item_of(hostile, 1), item_of(kept(2), 1)], 99, snapshot=True))
    assert [one["seq"] for one in frame["items"]] == [1, 2]
    assert (frame["snapshot"], frame["now"]) == (True, 99)
    assert frame["items"][0]["payload"] == '"</script>\u2028\x01'


def test_each_frame_is_as_the_description_says():
    items = [item_of(kept(), 3), item_of(kept(payload=b"\xff"), 1), item_of(kept(word="5209"), 1)]
    frames = {
        "opened": opened_frame(LIVE, 99, resumed=True),
        "messages": messages_frame(items, 99, snapshot=False),
        "ready": ready_frame(7, 3, complete=True),
        "conflated": conflated_frame(5),
        "pong": pong_frame(),
    }
    assert frames.keys() == FRAMES.keys()
    for name, frame in frames.items():
        read = FRAMES[name].model_validate_json(frame, strict=True, extra="forbid")
        assert json.loads(read.model_dump_json(exclude_none=True)) == json.loads(frame)


@pytest.mark.parametrize(
    ("level", "filters", "topic", "admitted"),
    [
        (1, [], "module/v1/ff/S1/state", True),
        (1, [], "fts/v1/ff/A/state", False),
        (2, [], "fts/v1/ff/A/state", True),
        (6, [], "kaiser/god/esp/ESP_1/sensor/4/data", True),
        (5, [], "kaiser/god/esp/ESP_1/sensor/4/data", False),
        (6, ["module/#"], "fts/v1/ff/A/state", False),
        (6, ["module/#", "fts/+/+/+/state"], "fts/v1/ff/A/state", True),
        (1, ["fts/#"], "fts/v1/ff/A/state", False),
        (2, [], "uagv/v2/x/A/state", True),
    ],
)
def test_a_level_and_filters_select(level: int, filters: list[str], topic: str, admitted: bool):
    assert TopicSelection(level, filters, ("uagv",)).admits(topic) is admitted


@pytest.mark.parametrize("wrong", ["module/*/state", "a/#/b", "a+", ""])
def test_a_wrong_filter_is_refused_with_the_hint(wrong: str):
    with pytest.raises(WrongFilter, match=r"[+#]|character"):
        TopicSelection(6, [wrong], ())


@pytest.mark.parametrize("filters", [["a"] * 51, ["a/" * 2049], ["x" * 1024] * 5])
def test_more_or_longer_filters_than_may_be_are_refused(filters: list[str]):
    """They would be compared with each of 10,000 topics while a stop waits."""
    with pytest.raises(WrongFilter, match="50 filters, with 4096 characters"):
        TopicSelection(6, filters, ())
    TopicSelection(6, ["a"] * 50, ())


def test_a_star_is_refused_with_what_to_write_instead():
    with pytest.raises(WrongFilter, match=r"use \+ for one level, # for all that follow"):
        TopicSelection(6, ["module/v1/*/state"], ())


def test_the_index_keeps_the_last_message_of_each_topic_within_its_bound():
    index = TopicIndex(LIVE, per_topic=2, most_topics=2)
    for seq, topic in enumerate(["a", "b", "a", "a", "c"], start=1):
        index.take(kept(seq, topic))
    assert {one.topic: (one.seq, index.held(one.topic)) for one in index} == {"a": (4, 2), "b": (2, 1)}
    assert (index.last_seq, index.complete) == (5, False)


def test_the_stream_corrects_the_counts_but_forgets_nothing_that_came_later():
    index = TopicIndex(LIVE, per_topic=10)
    for seq, topic in enumerate(["a", "b", "c"], start=1):
        index.take(kept(seq, topic))
    index.count({"a": 7}, until_seq=2)
    assert {one.topic: index.held(one.topic) for one in index} == {"a": 7, "c": 1}


def test_the_index_holds_no_large_payload():
    index = TopicIndex(LIVE, per_topic=10)
    index.take(kept(payload=b"x" * 700_000))
    (last,) = index
    assert (last.size, last.payload) == (700_000, b"")


@pytest.mark.parametrize(
    ("old", "new", "changes"),
    [
        ({"a": 1, "b": 2}, {"a": 1, "c": 3}, [("b", "remove", 2, None), ("c", "add", None, 3)]),
        ({"s": [{"id": "x", "v": 1}]}, {"s": [{"id": "y", "v": 2}, {"id": "x", "v": 1}]}, [("s[id=y]", "add")]),
        ([{"location": "A1", "t": "RED"}], [{"location": "A1"}], [("[location=A1].t", "remove", "RED", None)]),
        ([1, 2], [1, 3, 4], [("[1]", "change", 2, 3), ("[2]", "add", None, 4)]),
        ({"on": True}, {"on": 1}, [("on", "change", True, 1)]),
        (1, "1", [("$", "change", 1, "1")]),
        ({"a": None}, {}, [("a", "remove", None, None)]),
    ],
)
def test_differences_are_named_by_their_path(old, new, changes):
    found, complete = differences(old, new)
    assert complete
    assert [(one.path, one.op, one.old, one.new)[: len(changes[0])] for one in found] == changes


@given(JSON, JSON)
def test_equal_values_have_no_differences_and_others_have_some(old, new):
    assert differences(old, old) == ([], True)
    assert bool(differences(old, new)[0]) is (json.dumps(old, sort_keys=True) != json.dumps(new, sort_keys=True)) or (
        _same_objects_in_another_order(old, new)
    )


def _same_objects_in_another_order(old, new) -> bool:
    """Lists of objects with ids have no order."""
    return '"id"' in json.dumps(old)


def test_differences_are_bounded():
    found, complete = differences(list(range(1000)), list(range(1, 1001)))
    assert (len(found), complete) == (500, False)


def test_a_deeply_nested_message_is_compared_without_an_end_of_the_stack():
    old = json.loads("[" * 300 + "1" + "]" * 300)
    new = json.loads("[" * 300 + "2" + "]" * 300)
    assert len(differences(old, new)[0]) == 1


def test_the_diff_of_what_is_no_json_says_so():
    assert diff_of(kept(2, payload=b"{"), kept(1)).readable is False
    assert diff_of(kept(2), None).before is None


@pytest.mark.parametrize(
    ("payload", "mime"),
    [
        (b'{"data": "data:image/jpeg;base64,AAAA", "result": "PASSED"}', "image/jpeg"),
        (b"\x89PNG\r\n", "image/png"),
        (b'{"data": "data:text/html;base64,AAAA"}', None),
        (b'{"data": 5}', None),
    ],
)
def test_a_picture_is_recognised(payload: bytes, mime: str | None):
    assert details_of(kept(payload=payload)).mime == mime


def test_the_details_have_the_whole_payload_and_pretty_json():
    large = json.dumps({"t": "ü" * SHOWN_BYTES}, ensure_ascii=False).encode()
    details = details_of(kept(payload=large))
    assert details.payload == large.decode()
    assert details.pretty is not None
    assert details.pretty.startswith('{\n  "t": "ü')


async def test_a_search_through_ten_thousand_topics_lets_others_work_in_between():
    index = TopicIndex(LIVE, 10)
    for number in range(10_000):
        index.take(kept(seq=number + 1, topic=f"lab/{number:05}", payload="Grüße".encode() * 100))
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    beside = asyncio.create_task(others())
    try:
        found = [one async for one in _sought(index, TopicSelection(6, [], ()), "LAB/0999", retained=False)]
    finally:
        beside.cancel()
    assert [one.topic for one in found] == [f"lab/0999{number}" for number in range(10)]
    assert turns >= 10_000 / 100, "a stop waits for the search in a hundred topics at most"


@pytest.mark.parametrize("payload", [{"x": "\ud800"}, float("nan"), [float("inf")]])
def test_a_payload_that_is_no_json_is_refused(payload):
    with pytest.raises(ValidationError):
        CheckMessage(topic="a", payload=payload)


@pytest.mark.parametrize(
    ("fields", "right"),
    [
        ({"payload": None}, True),
        ({"payload_base64": "e30="}, True),
        ({}, False),
        ({"payload": 1, "payload_base64": ""}, False),
    ],
)
def test_a_message_has_one_payload(fields: dict[str, object], right: bool):
    if right:
        CheckMessage.model_validate_json(CheckMessage(topic="a", **fields).model_dump_json())  # as it goes over the bus
    else:
        with pytest.raises(ValidationError):
            CheckMessage(topic="a", **fields)
