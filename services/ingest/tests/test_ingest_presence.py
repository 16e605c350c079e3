"""Offline devices: by the registry, unless a message came since."""

from kaiser_common.contract.schemas.device import DeviceRecord
from kaiser_ingest.domain.presence import Presence


def record(online: bool) -> DeviceRecord:
    return DeviceRecord(esp_id="ESP_A", kaiser_id="god", state="approved", online=online)


def test_a_device_is_offline_from_the_registrys_word_until_it_is_heard_or_online() -> None:
    presence = Presence()
    assert not presence.is_offline("ESP_A"), "it is in no registry"
    presence.registered("ESP_A", record(online=False))
    assert presence.is_offline("ESP_A"), "it was never heard"
    presence.heard(["ESP_A", "ESP_B"])
    assert not presence.is_offline("ESP_A")
    presence.registered("ESP_A", record(online=False))
    assert not presence.is_offline("ESP_A"), "a change of its name says nothing new"
    presence.registered("ESP_A", record(online=True))
    presence.registered("ESP_A", record(online=False))
    assert presence.is_offline("ESP_A")
    presence.registered("ESP_A", record(online=True))
    assert not presence.is_offline("ESP_A")
    presence.registered("ESP_A", record(online=False))
    presence.registered("ESP_A", None)
    assert not presence.is_offline("ESP_A"), "it was removed"
