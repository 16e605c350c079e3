"""The headers of TOPICS: each that ingest writes is described, and is read as it was written."""

from types import SimpleNamespace

from kaiser_factory_dialect.kept_messages import HEADERS, head_of, headers_of, quoted_topic, stored_arrival
from kaiser_factory_dialect.reading import Arrival
from kaiser_factory_dialect.subjects import topic_subject

ARRIVAL = Arrival("ccu/größe", b"{}", 1_771_000_000_123, 1, True, "mock", 7, True)


def stored(headers: dict[str, str]) -> SimpleNamespace:
    subject = topic_subject(ARRIVAL.env, ARRIVAL.topic)
    return SimpleNamespace(subject=subject, body=b"{}", headers=headers, stream_sequence=1, timestamp_ns=5_000_000)


def test_each_header_that_is_written_is_described():
    headers = dict(headers_of(ARRIVAL, quoted_topic(ARRIVAL.topic), "5209", 70_000))
    assert headers == {
        "Mqtt-Topic": "ccu/gr%C3%B6%C3%9Fe",
        "Mqtt-Qos": "1",
        "Mqtt-Retain": "1",
        "Kaiser-Received-At": "1771000000123000000",
        "Kaiser-Verdict": "5209",
        "Kaiser-Epoch": "7",
        "Kaiser-Own": "1",
        "Kaiser-Length": "70000",
    }
    assert headers.keys() == HEADERS.keys()
    head = head_of(stored(headers))
    assert (head.word, head.length) == ("5209", 70_000)
    assert stored_arrival(stored(headers), head) == ARRIVAL


def test_a_message_without_readable_headers_was_received_when_it_was_stored():
    for headers in ({}, {"Kaiser-Received-At": "no number", "Mqtt-Qos": "²", "Kaiser-Epoch": "-1"}):
        assert head_of(stored(headers)) == (5_000_000, 0, False, "", 0, False, 0)
