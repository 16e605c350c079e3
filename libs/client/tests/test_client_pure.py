"""How the client reads answers, tokens and frames."""

import json
import ssl

import httpx
import pytest
from kaiser_client import (
    ApiProblem,
    AsyncKaiser,
    Kaiser,
    NotSignedIn,
    ServerAway,
    Tokens,
    UnexpectedAnswer,
    WatchEnded,
    WatchFilters,
)
from kaiser_client.calls import devices, sensors, users
from kaiser_client.exchange import tls_of
from kaiser_client.problems import problem_of
from kaiser_client.watching import WatchPlace, socket_url
from kaiser_common.contract.schemas.api.devices import DevicePatch, ZoneRequest

PROBLEM = {"type": "about:blank", "title": "Conflict", "status": 409, "detail": "it is offline", "code": 5007}


def device(number: int) -> dict:
    return {
        "esp_id": f"ESP_{number}",
        "kaiser_id": "god",
        "hardware_type": "ESP32",
        "state": "approved",
        "online": True,
        "created_at": 1,
    }


def answering(*answers: httpx.Response, seen: list[httpx.Request] | None = None) -> httpx.MockTransport:
    left = list(answers)

    def answer(request: httpx.Request) -> httpx.Response:
        if seen is not None:
            seen.append(request)
        return left.pop(0)

    return httpx.MockTransport(answer)


def test_a_problem_has_its_code_and_field():
    problem = problem_of(422, json.dumps({**PROBLEM, "status": 422, "field": "gpio", "request_id": "r1"}).encode())
    assert (problem.status, problem.code, problem.field, problem.request_id) == (422, 5007, "gpio", "r1")
    assert str(problem) == "it is offline"


@pytest.mark.parametrize(("content", "text"), [(b"<h1>Bad gateway</h1>", "<h1>Bad gateway</h1>"), (b"", "status 502")])
def test_the_answer_of_a_proxy_is_a_problem_without_a_code(content: bytes, text: str):
    problem = problem_of(502, content)
    assert (str(problem), problem.code) == (text, 0)


def test_401_is_not_signed_in():
    assert isinstance(problem_of(401, b"{}"), NotSignedIn)


def test_a_list_is_read_page_after_page():
    seen: list[httpx.Request] = []
    pages = [
        httpx.Response(200, json={"items": [device(1), device(2)], "next_cursor": "c 1"}),
        httpx.Response(200, json={"items": [device(3)], "next_cursor": None}),
    ]
    with Kaiser("http://there", transport=answering(*pages, seen=seen)) as kaiser:
        found = [one.esp_id for one in kaiser.each(devices.list_devices(online=True))]
    assert found == ["ESP_1", "ESP_2", "ESP_3"]
    assert [str(one.url) for one in seen] == [
        "http://there/api/v1/esp/devices?online=true",
        "http://there/api/v1/esp/devices?online=true&cursor=c+1",
    ]


async def test_the_asynchronous_client_does_the_same():
    pages = [
        httpx.Response(200, json={"items": [device(1)], "next_cursor": "c"}),
        httpx.Response(200, json={"items": [device(2)], "next_cursor": None}),
        httpx.Response(409, json=PROBLEM),
    ]
    async with AsyncKaiser("http://there", transport=answering(*pages)) as kaiser:
        assert [one.esp_id async for one in kaiser.each(devices.list_devices())] == ["ESP_1", "ESP_2"]
        with pytest.raises(ApiProblem, match="it is offline"):
            await kaiser.ask(devices.read_device("ESP_1"))


def test_a_patch_has_the_fields_that_were_set_and_other_bodies_all():
    assert devices.change_device("ESP_1", DevicePatch(name=None)).text() == b'{"name":null}'
    body = json.loads(devices.assign_zone("ESP_1", ZoneRequest(zone_id=None)).text() or b"")
    assert body == {"zone_id": None, "master_zone_id": None, "zone_name": None}


def test_a_parameter_cannot_leave_its_place_in_the_path():
    assert users.delete_user("../x?y").url() == "/api/v1/auth/users/..%2Fx%3Fy"


def test_a_server_that_is_away_is_named():
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("connection refused")

    with (
        Kaiser("http://there", transport=httpx.MockTransport(refuse)) as kaiser,
        pytest.raises(ServerAway, match="http://there cannot be reached: connection refused"),
    ):
        kaiser.ask(devices.list_devices())


def test_an_answer_of_another_form_is_said_so():
    with (
        Kaiser("http://there", transport=answering(httpx.Response(200, json={"success": True}))) as kaiser,
        pytest.raises(UnexpectedAnswer, match=r"GET /api/v1/sensors/latest .*items"),
    ):
        kaiser.ask(sensors.list_latest_readings())


def test_tokens_that_are_due_are_renewed_once_before_a_request():
    seen: list[httpx.Request] = []

    def given(access: str, expires_in: int) -> httpx.Response:
        body = {"access_token": access, "refresh_token": f"r-{access}", "expires_in": expires_in, "role": "viewer"}
        return httpx.Response(200, json=body)

    page = httpx.Response(200, json={"items": [], "next_cursor": None})
    transport = answering(given("first", 10), given("second", 3600), page, page, seen=seen)
    with Kaiser("http://there", transport=transport) as kaiser:
        kaiser.sign_in("grace", "secret sentence")
        kaiser.ask(devices.list_devices())
        kaiser.ask(devices.list_devices())
    assert json.loads(seen[1].content) == {"refresh_token": "r-first"}
    assert [one.headers.get("Authorization") for one in seen] == [None, None, "Bearer second", "Bearer second"]


def test_tokens_are_due_half_a_minute_before_they_expire():
    tokens = Tokens(access_token="a", refresh_token="r", expires_at=1000.0, role="viewer")
    assert [tokens.are_due(now) for now in (969.0, 970.0, 2000.0)] == [False, True, True]


def frame(kind: str, seq: int | None = None, **data: object) -> str:
    return json.dumps({"type": kind, "timestamp": 1.5, "data": data} | ({} if seq is None else {"seq": seq}))


def test_a_watcher_resumes_behind_the_last_event_it_got():
    place = WatchPlace(WatchFilters(types=("sensor_data",)))
    assert [json.loads(one)["action"] for one in place.opening()] == ["subscribe"]
    assert place.take(frame("subscribed", filters={})) is None
    event = place.take(frame("sensor_data", 17, value=1))
    assert event is not None
    assert (event.seq, event.data) == (17, {"value": 1})
    assert json.loads(list(place.opening())[1]) == {"action": "resume", "after": 17}
    place.take(frame("sensor_data", 99))  # live, before the missing ones
    assert json.loads(list(place.opening())[1]) == {"action": "resume", "after": 17}
    assert place.take(frame("resumed", **{"from": 18, "missed": 0})) is None
    place.take(frame("sensor_data", 18))
    assert place.after == 18


def test_a_gap_is_an_event():
    place = WatchPlace(WatchFilters(), after=5)
    list(place.opening())
    gap = place.take(frame("resumed", **{"from": 4096, "missed": 3}))
    assert gap is not None
    assert (gap.type, gap.data["missed"], place.after) == ("resumed", 3, 4095)


def test_pauses_grow_until_something_comes():
    place = WatchPlace(WatchFilters())
    assert [place.closed(1006, "") for _ in range(8)] == [0.5, 1, 2, 4, 8, 16, 30, 30]
    place.take(frame("pong"))
    assert place.closed(1001, "") == 0.5


@pytest.mark.parametrize("code", [4003, 4009, 4400])
def test_a_refused_watcher_does_not_come_back(code: int):
    with pytest.raises(WatchEnded, match="no role"):
        WatchPlace(WatchFilters()).closed(code, "no role")


def test_a_refused_token_is_tried_again_once():
    place = WatchPlace(WatchFilters())
    assert place.closed(4001, "expired") == 0.5
    with pytest.raises(WatchEnded):
        place.closed(4001, "expired")


def test_a_refused_filter_ends_the_watch_with_the_reason():
    with pytest.raises(UnexpectedAnswer, match="invalid topic filter"):
        WatchPlace(WatchFilters()).take(frame("error", code=5206, message="invalid topic filter"))


def test_the_socket_is_as_secure_as_the_server():
    assert socket_url("https://there/", "c", 50) == "wss://there/api/v1/ws/realtime/c?rate=50"
    assert socket_url("http://there:8000", "c", None) == "ws://there:8000/api/v1/ws/realtime/c"


def test_the_socket_s_certificate_is_checked_as_that_of_requests():
    own = ssl.create_default_context()
    checked, trusting = tls_of("wss://there", True), tls_of("wss://there", False)
    assert tls_of("ws://there", True) is None
    assert tls_of("wss://there", own) is own
    assert checked is not None
    assert checked.verify_mode is ssl.CERT_REQUIRED
    assert trusting is not None
    assert trusting.verify_mode is ssl.CERT_NONE
