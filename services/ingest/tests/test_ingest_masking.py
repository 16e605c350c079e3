"""Secrets in the messages of devices: masked wherever a message is kept for people."""

import json

import pytest
from kaiser_common.contract.schemas.factory import FactoryEnvironment
from kaiser_ingest.domain.factory_dialect import FactoryDialect
from kaiser_ingest.domain.incoming import Incoming
from kaiser_ingest.domain.masking import without_secrets

EMERGENCY = "kaiser/god/esp/ESP_A/actuator/emergency"
SECRET = b'{"command":"emergency_stop","auth_token":"s3cret"}'


@pytest.mark.parametrize(
    "payload", [b"", b"{}", b"\xff\xfe", b'{"raw": 1,  "unit":"C"}', b"[" * 5000, '{"text":"Grüße"}'.encode()]
)
def test_a_message_without_a_secret_stays_as_it_came(payload):
    assert without_secrets(payload) == payload


@pytest.mark.parametrize("payload", [b'{"token":"s3cret"', b'{"password":"s3cret', b"[" * 5000 + b'"token"'])
def test_what_names_a_secret_and_is_no_json_is_masked_as_a_whole(payload):
    assert without_secrets(payload) == "•••".encode()


@pytest.mark.parametrize("site", ["god", "other"])
@pytest.mark.parametrize("reads", [True, False])
def test_a_viewer_of_the_message_centre_learns_no_token_of_a_device(site, reads):
    """Whether the device is served here (`keep`) or by another ingest at the same broker (`take`)."""
    dialect = FactoryDialect(("uagv",), ("kaiser/#",), ("kaiser/god/esp/#",), lambda *_: None, reads=reads)
    dialect.enter(FactoryEnvironment(env="live", kind="live", epoch=1), 1, ("kaiser/god/esp/#",))
    topic = EMERGENCY.replace("god", site)
    message = Incoming(topic.encode(), SECRET, 1, 1, False, False, 1, 1_800_000_000_000)
    kept = (
        dialect.keep(message, topic, "downlink", "id")
        if site == "god"
        else dialect.take(message, topic, "id").as_it_came
    )
    assert kept is not None
    assert json.loads(kept.body) == {"command": "emergency_stop", "auth_token": "•••"}
