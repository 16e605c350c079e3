"""Subjects are built from ids; declarations hold together."""

import pytest
from kaiser_common.bus import declare
from kaiser_common.contract import subjects
from kaiser_common.contract.topics import NOT_SUBSCRIBED, Kind


@pytest.mark.parametrize("bad", ["", "a.b", "*", ">", "a b", "a\n"])
def test_an_id_that_would_change_the_shape_of_a_subject_is_refused(bad):
    with pytest.raises(ValueError, match="not a subject token"):
        subjects.device_subject("sensor.data", "god", bad, 4)


def test_subjects_are_as_the_bus_table_says():
    assert subjects.device_subject("sensor.data", "god", "ESP_1", 4) == "esp.sensor.data.god.ESP_1.4"
    assert subjects.device_subject("system.will", "god", "ESP_1") == "esp.system.will.god.ESP_1"
    assert subjects.event_subject("system_event") == "event.system_event._"
    assert subjects.rejected_subject(5205, "ESP_1") == "rejected.5205.ESP_1"
    assert subjects.outbox_subject("god", "ESP_1", "setup") == "mqtt.out.god.ESP_1.setup"
    assert subjects.urgent_subject("god", "ESP_1") == "mqtt.urgent.god.ESP_1"
    assert subjects.rpc_subject("sensor", "latest") == "rpc.sensor.latest"


def test_every_consumer_reads_a_declared_stream():
    names = {stream.name for stream in subjects.STREAMS}
    assert {consumer.stream for consumer in subjects.CONSUMERS} <= names


def test_no_durable_stream_drops_old_messages_silently():
    for stream in (subjects.SENSORS, subjects.DEVICES, subjects.OUTBOX, subjects.FACTORY):
        assert (stream.discard, stream.storage) == ("new", "file")


def test_an_absent_field_counts_as_its_zero_value():
    assert not declare.differs({"name": "A"}, {"name": "A", "max_age": 0, "deny_delete": False})
    assert declare.differs({"name": "A"}, {"name": "A", "max_age": 5})


def takes(filter_: str, subject: str) -> bool:
    """Whether a subject filter with `*` and `>` takes a subject."""
    wanted, tokens = filter_.split("."), subject.split(".")
    if wanted[-1] == ">":
        wanted, tokens = wanted[:-1], tokens[: len(wanted) - 1] if len(tokens) >= len(wanted) else ["?"]
    return len(wanted) == len(tokens) and all(one in ("*", other) for one, other in zip(wanted, tokens, strict=True))


@pytest.mark.parametrize("kind", sorted(Kind))
def test_each_kind_that_ingest_takes_has_a_consumer_or_its_messages_would_vanish(kind):
    if kind in NOT_SUBSCRIBED:
        return
    if kind is Kind.SENSOR_BATCH:
        subject = subjects.device_subject(Kind.SENSOR_DATA.value, "god", "ESP_A", 4)
    elif kind.value.startswith("downlink."):
        subject = subjects.downlink_subject("god", "ESP_A")
    else:
        subject = subjects.device_subject(kind.value, "god", "ESP_A")
    stream = next(stream for stream in subjects.STREAMS if any(takes(each, subject) for each in stream.subjects))
    readers = [
        consumer.name
        for consumer in subjects.CONSUMERS
        if consumer.stream == stream.name and any(takes(each, subject) for each in consumer.filters)
    ]
    assert readers, subject
