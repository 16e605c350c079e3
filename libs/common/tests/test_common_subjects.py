"""Subjects are built from ids; declarations hold together."""

import pytest
from kaiser_common import declare, subjects


@pytest.mark.parametrize("bad", ["", "a.b", "*", ">", "a b", "a\n"])
def test_an_id_that_would_change_the_shape_of_a_subject_is_refused(bad):
    with pytest.raises(ValueError, match="not a subject token"):
        subjects.device_subject("sensor.data", "god", bad, 4)


def test_subjects_are_as_the_bus_table_says():
    assert subjects.device_subject("sensor.data", "god", "ESP_1", 4) == "esp.sensor.data.god.ESP_1.4"
    assert subjects.device_subject("system.will", "god", "ESP_1") == "esp.system.will.god.ESP_1"
    assert subjects.event_subject("system_event") == "event.system_event._"
    assert subjects.rejected_subject(5205, "ESP_1") == "rejected.5205.ESP_1"
    assert subjects.outbox_subject("god", "ESP_1") == "mqtt.out.god.ESP_1"
    assert subjects.urgent_subject("god", "ESP_1") == "mqtt.urgent.god.ESP_1"
    assert subjects.rpc_subject("sensor", "latest") == "rpc.sensor.latest"


def test_every_consumer_reads_a_declared_stream():
    names = {stream.name for stream in subjects.STREAMS}
    assert {consumer.stream for consumer in subjects.CONSUMERS} <= names


def test_no_durable_stream_drops_old_messages_silently():
    for stream in (subjects.SENSORS, subjects.DEVICES, subjects.OUTBOX):
        assert (stream.discard, stream.storage) == ("new", "file")


def test_an_absent_field_counts_as_its_zero_value():
    assert not declare.differs({"name": "A"}, {"name": "A", "max_age": 0, "deny_delete": False})
    assert declare.differs({"name": "A"}, {"name": "A", "max_age": 5})
