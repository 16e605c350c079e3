"""The gateway's own descriptions are valid, complete, and true of what it sends."""

import asyncio
import json
from pathlib import Path

import httpx
import jsonschema_rs
import pytest
from fastapi import FastAPI
from kaiser_common.contract.catalogue import BODIES, EVENT_MODELS
from kaiser_common.contract.schemas.actuator import EmergencyAnswer
from kaiser_common.contract.schemas.device import Intent, ScanResult, Session
from kaiser_common.contract.subjects import STREAMS
from kaiser_common.contract.topics import BUS_KINDS, Kind, is_downlink
from kaiser_gateway.api import described
from kaiser_gateway.domain.asyncapi import document

OFFICIAL = json.loads((Path(__file__).parent / "vendor" / "asyncapi-3.0.0.json").read_text())


def resolve(whole: dict, reference: str) -> dict:
    found = whole
    for step in reference.removeprefix("#/").split("/"):
        found = found[step]
    return found


def references(part: object) -> list[str]:
    if isinstance(part, dict):
        own = [part["$ref"]] if isinstance(part.get("$ref"), str) else []
        return own + [one for value in part.values() for one in references(value)]
    return [one for value in part for one in references(value)] if isinstance(part, list) else []


def test_the_asyncapi_document_is_valid_by_the_official_schema():
    errors = list(jsonschema_rs.Draft7Validator(OFFICIAL).iter_errors(document("kaiser.example:8000", True)))
    assert [f"{list(error.instance_path)}: {error.message[:200]}" for error in errors] == []


def test_the_official_schema_refuses_a_broken_document():
    broken = document("kaiser.example:8000", True)
    broken["channels"]["realtime"]["address"] = 5
    assert not jsonschema_rs.Draft7Validator(OFFICIAL).is_valid(broken)


def test_every_reference_of_the_document_leads_somewhere():
    whole = document("kaiser.example:8000", False)
    for reference in references(whole):
        assert resolve(whole, reference), reference


def test_every_kind_of_device_message_and_every_stream_is_described():
    elsewhere = {*BUS_KINDS, Kind.SENSOR_BATCH, Kind.QUEUE_PRESSURE}
    assert set(BODIES) == {kind for kind in Kind if not is_downlink(kind)} - elsewhere
    assert {BODIES[kind] for kind in (Kind.EMERGENCY_RESPONSE, Kind.INTENT, Kind.SCAN, Kind.SESSION)} == {
        EmergencyAnswer,
        Intent,
        ScanResult,
        Session,
    }
    addresses = [channel["address"] for channel in document("h", False)["channels"].values()]
    for stream in STREAMS:
        for subject in stream.subjects:
            assert any(address.startswith(subject.removesuffix(">")) for address in addresses), subject


async def test_each_description_is_made_once_however_often_somebody_without_a_token_asks(monkeypatch):
    made = []
    monkeypatch.setattr(described, "document", lambda host, secure: made.append("asyncapi") or document(host, secure))
    app = FastAPI(openapi_url=None)
    app.include_router(described.router(lambda: made.append("openapi") or {"openapi": "3.1.0"}))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://ignored") as http:
        hosts = ("one.example", "two.example", "[::1]:8000")
        texts = await asyncio.gather(*(http.get("/api/asyncapi", headers={"Host": host}) for host in hosts))
        assert [text.json()["servers"]["gateway"]["host"] for text in texts] == list(hosts)
        texts = await asyncio.gather(*(http.get("/api/openapi.json") for _ in range(9)))
        assert [text.json() for text in texts] == [{"openapi": "3.1.0"}] * 9
    assert sorted(made) == ["asyncapi", "openapi"]


async def test_both_descriptions_are_served_without_a_token(gateway):
    async with gateway.http(None) as http:
        text = (await http.get("/api/asyncapi")).json()
        assert text["servers"]["gateway"]["host"] == f"127.0.0.1:{gateway.port}"
        listed = (await http.get("/api/schemas/")).json()
        assert set(listed) == set(EVENT_MODELS)
        for kind, path in listed.items():
            response = await http.get(path)
            assert response.headers["content-type"] == "application/schema+json"
            assert response.json()["title"] == EVENT_MODELS[kind].__name__
            jsonschema_rs.Draft202012Validator(response.json())
        assert (await http.get("/api/schemas/nothing.json")).status_code == 404


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ({"action": "ping"}, "pong"),
        ({"action": "subscribe", "filters": {"types": ["sensor_data"]}}, "subscribed"),
        ({"action": "unsubscribe"}, "subscribed"),
        ({"action": "resume", "after": 0}, "resumed"),
        ({"action": "dance"}, "error"),
    ],
)
async def test_answers_are_as_described(gateway, receive, said, kind):
    whole = document("h", False)
    async with gateway.connect() as websocket:
        await websocket.send(json.dumps(said))
        frame = await receive(websocket, kind)
    payload = {**resolve(whole, f"#/channels/realtime/messages/{kind}/payload"), "components": whole["components"]}
    jsonschema_rs.Draft202012Validator(payload).validate(frame)
    assert not jsonschema_rs.Draft202012Validator(payload).is_valid({**frame, "type": "something"})
