"""The pure parts of the gateway: filters, conflation, frames, messages, tokens, limits."""

import asyncio
import csv
import io
import json

import httpx
import pytest
from fastapi import APIRouter, FastAPI
from hypothesis import given
from hypothesis import strategies as st
from kaiser_common.bus.pull import Delivery
from kaiser_gateway.api.csv_answers import csv_answer
from kaiser_gateway.domain.conflation import Outlet, Overfull
from kaiser_gateway.domain.csv_text import to_csv
from kaiser_gateway.domain.filters import Filters, Index, is_topic_filter
from kaiser_gateway.domain.frames import Event, events_of
from kaiser_gateway.domain.limits import Limiter, TokenBucket
from kaiser_gateway.domain.messages import BadMessage, Ping, Resume, Subscribe, Unsubscribe, parse
from kaiser_gateway.domain.signing_in import ExternalLimits
from kaiser_gateway.domain.tokens import Signer, TokenRefused
from kaiser_gateway.domain.topic_tree import TopicTree
from kaiser_gateway.http import problems
from kaiser_gateway.ws.replay import KeptEvents, gap
from paho.mqtt.client import topic_matches_sub
from pydantic import BaseModel, ConfigDict, model_validator


def event(kind: str = "sensor_data", seq: int = 1, esp_id: str = "ESP_A", **data) -> Event:
    data = {"esp_id": esp_id, "gpio": 4, "sensor_type": "ph", "topic": f"kaiser/god/esp/{esp_id}/sensor/4/data", **data}
    return Event(kind, esp_id, seq, 1_767_225_600.1234, json.dumps(data).encode())


def test_probes_on_one_pin_are_conflated_each_for_itself():
    first, second = (event(seq=seq, address=address) for seq, address in ((1, "28AA"), (2, "28BB")))
    assert first.key() != second.key()
    assert first.key() == event(seq=3, address="28AA").key()


def drain(outlet: Outlet, now: float) -> list[int]:
    taken = []
    while (one := outlet.take(now)) is not None:
        taken.append(one.seq)
    return taken


def test_a_frame_is_the_envelope_around_the_data():
    assert json.loads(event(seq=4711).frame) == {
        "type": "sensor_data",
        "timestamp": 1767225600.123,
        "seq": 4711,
        "data": {"esp_id": "ESP_A", "gpio": 4, "sensor_type": "ph", "topic": "kaiser/god/esp/ESP_A/sensor/4/data"},
    }


@pytest.mark.parametrize(
    ("topic_filter", "topic", "matches"),
    [
        ("kaiser/+/esp/+/sensor/#", "kaiser/god/esp/ESP_A/sensor/4/data", True),
        ("kaiser/+/esp/+/sensor/#", "kaiser/god/esp/ESP_A/sensor", True),
        ("kaiser/+/esp/+/actuator/#", "kaiser/god/esp/ESP_A/sensor/4/data", False),
        ("#", "a", True),
        ("a/+", "a/b/c", False),
        ("a/+/c", "a/b/c", True),
        ("a/b", "a/b/c", False),
        ("a/b/c", "a/b", False),
        ("a//c", "a//c", True),
        ("a/+/c", "a//c", True),
        ("#", "$SYS/a", False),
        ("+/a", "$SYS/a", False),
        ("$SYS/#", "$SYS/a", True),
    ],
)
def test_topic_filters_match_as_in_mqtt(topic_filter, topic, matches):
    assert TopicTree([topic_filter]).matches(topic) is matches


LEVELS = st.sampled_from(("", "a", "b", "$s"))
TOPICS = st.lists(LEVELS, min_size=1, max_size=5).map("/".join).filter(bool)
TOPIC_FILTERS = st.builds(
    lambda levels, end: "/".join([*levels, *end]),
    st.lists(st.one_of(LEVELS, st.just("+")), min_size=1, max_size=5),
    st.sampled_from(([], ["#"])),
).filter(bool)


@given(topic_filters=st.lists(TOPIC_FILTERS, max_size=8), topic=TOPICS)
def test_many_filters_match_what_one_of_them_matches(topic_filters, topic):
    assert TopicTree(topic_filters).matches(topic) is any(topic_matches_sub(one, topic) for one in topic_filters)


@pytest.mark.parametrize("topic", [None, 7, ["a"], {}])
def test_an_event_without_a_topic_passes_no_filter_of_topics(topic):
    assert not Filters(topics=["#"]).admits(event(topic=topic))


@pytest.mark.parametrize("bad", ["", "a/#/b", "a+/b", "a/b#", "x" * 300])
def test_what_is_no_topic_filter_is_refused(bad):
    assert not is_topic_filter(bad)


@pytest.mark.parametrize(
    ("filters", "admitted"),
    [
        (Filters(), True),
        (Filters(types=["sensor_data"]), True),
        (Filters(types=["esp_health"]), False),
        (Filters(esp_ids=["ESP_B", "ESP_A"]), True),
        (Filters(esp_ids=["ESP_B"]), False),
        (Filters(sensor_types=["ph"]), True),
        (Filters(sensor_types=["ec"]), False),
        (Filters(topics=["kaiser/+/esp/+/sensor/#"]), True),
        (Filters(types=["sensor_data"], sensor_types=["ec"]), False),
    ],
)
def test_lists_combine_with_and(filters, admitted):
    assert filters.admits(event()) is admitted


def test_unsubscribing_takes_values_out_and_an_emptied_list_means_nothing():
    filters = Filters(types=["sensor_data", "esp_health"], esp_ids=["ESP_A"])
    assert filters.without(Filters(types=["esp_health"])) == Filters(types=["sensor_data"], esp_ids=["ESP_A"])
    assert filters.without(Filters(esp_ids=["ESP_A"])) is None
    assert Filters().without(Filters(types=["sensor_data"])) == Filters()


_LISTS = st.builds(
    Filters,
    types=st.lists(st.sampled_from(["sensor_data", "esp_health", "system_event"]), max_size=3),
    esp_ids=st.lists(st.sampled_from(["ESP_A", "ESP_B", "ESP_C"]), max_size=3),
)


@given(st.dictionaries(st.integers(0, 20), st.none() | _LISTS), st.sampled_from(["sensor_data", "esp_health"]))
def test_the_index_finds_every_client_whose_filters_admit_once(clients, kind):
    index: Index[int] = Index()
    for client, filters in clients.items():
        index.put(client, filters)
    one = event(kind)
    expected = sorted(client for client, filters in clients.items() if filters is not None and filters.admits(one))
    found = list(index.of(kind, "ESP_A"))
    assert len(found) == len(set(found))
    assert sorted(client for client in found if clients[client].admits(one)) == expected
    for client in clients:
        index.remove(client)
    assert list(index.of(kind, "ESP_A")) == []


def test_within_the_rate_every_event_goes_in_order():
    outlet = Outlet(10, 1_000_000, now=0.0)
    for seq in range(10):
        outlet.offer(event(seq=seq), 0.0)
    assert drain(outlet, 0.0) == list(range(10))
    assert outlet.conflated() == 0


def test_over_the_rate_only_the_newest_of_a_sensor_waits():
    outlet = Outlet(2, 1_000_000, now=0.0)
    for seq in range(10):
        outlet.offer(event(seq=seq), 0.0)
    assert drain(outlet, 0.0) == [0, 1]
    assert outlet.wait_s(0.0) == pytest.approx(0.5)
    assert drain(outlet, 0.6) == [9]
    assert outlet.conflated() == 7
    assert outlet.conflated() == 0


def test_alerts_go_first_whatever_the_rate_and_are_never_conflated():
    outlet = Outlet(1, 1_000_000, now=0.0)
    for seq in range(5):
        outlet.offer(event(seq=seq), 0.0)
    for seq in range(5, 8):
        outlet.offer(event("actuator_alert", seq=seq), 0.0)
    assert drain(outlet, 0.0) == [5, 6, 7, 0]


def test_what_counts_by_itself_is_not_conflated():
    outlet = Outlet(1, 1_000_000, now=0.0)
    for seq in range(4):
        outlet.offer(event("actuator_response", seq=seq), 0.0)
    taken = []
    for second in range(4):
        taken += drain(outlet, float(second))
    assert taken == [0, 1, 2, 3]


def test_the_bytes_that_wait_are_bounded_and_what_is_let_go_is_counted():
    outlet = Outlet(1, 20_000, now=0.0)
    for seq in range(1000):
        outlet.offer(event(seq=seq, gpio=seq), 0.0)
    assert 0 < len(outlet) < 120
    assert outlet.conflated() + len(outlet) == 1000


def test_alerts_beyond_the_bound_close_the_client_instead_of_being_dropped():
    outlet = Outlet(1, 10_000, now=0.0)
    with pytest.raises(Overfull):
        for seq in range(1000):
            outlet.offer(event("system_event", seq=seq), 0.0)


@given(
    st.lists(
        st.tuples(st.sampled_from(["sensor_data", "system_event", "logic_execution"]), st.integers(0, 3)), max_size=60
    ),
    st.floats(0.5, 50),
)
def test_every_event_is_either_sent_or_counted_and_priority_ones_are_always_sent(offered, rate):
    outlet = Outlet(rate, 1_000_000, now=0.0)
    for seq, (kind, gpio) in enumerate(offered):
        outlet.offer(event(kind, seq=seq, gpio=gpio), 0.0)
    sent = []
    for second in range(200):
        sent += drain(outlet, float(second))
    assert len(sent) + outlet.conflated() == len(offered)
    assert len(set(sent)) == len(sent)
    assert {seq for seq, (kind, _) in enumerate(offered) if kind != "sensor_data"} <= set(sent)


@pytest.mark.parametrize(
    ("text", "action"),
    [
        ('{"action":"ping"}', Ping(action="ping")),
        ('{"action":"subscribe"}', Subscribe(action="subscribe")),
        (
            '{"action":"subscribe","filters":{"types":["sensor_data"]}}',
            Subscribe(action="subscribe", filters=Filters(types=["sensor_data"])),
        ),
        ('{"action":"unsubscribe","filters":null}', Unsubscribe(action="unsubscribe")),
        ('{"action":"resume","after":12}', Resume(action="resume", after=12)),
    ],
)
def test_a_client_message_is_decoded(text, action):
    assert parse(text) == action


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"action":"dance"}',
        '{"action":"resume"}',
        '{"action":"resume","after":-1}',
        "x" * 70000,
        '{"action":"subscribe","filters":{"types":["no_such"]}}',
        '{"action":"subscribe","filters":{"topics":["a/#/b"]}}',
    ],
)
def test_a_bad_client_message_is_told_and_never_raises_anything_else(text):
    with pytest.raises(BadMessage):
        parse(text)


@given(st.text())
def test_no_text_breaks_the_decoder(text):
    try:
        parse(text)
    except BadMessage:
        return


@pytest.mark.parametrize(
    ("after", "kept", "expected"),
    [
        (10 * 4096 + 3, KeptEvents(1, 20), (10 * 4096 + 4, 0)),
        (20 * 4096 + 4095, KeptEvents(1, 20), (21 * 4096, 0)),
        (3 * 4096, KeptEvents(8, 20), (8 * 4096, 4)),
        (7 * 4096 + 5, KeptEvents(8, 20), (8 * 4096, 0)),
        (99 * 4096, KeptEvents(1, 20), (4096, 0)),
        (0, KeptEvents(1, 0), (4096, 0)),
        (5 * 4096, KeptEvents(11, 10), (11 * 4096, 5)),
        (47_110, KeptEvents(40_000, 50_000), (40_000 * 4096, 39_988)),  # a stream sequence, of a version before packs
    ],
)
def test_a_resume_tells_its_gap(after, kept, expected):
    assert gap(after, kept) == expected


KEY = "k" * 40


def test_a_token_says_who_and_with_which_role():
    identity = Signer(KEY).read(Signer(KEY).sign("ada", "operator", "access", 1000, 60), "access", 1030)
    assert (identity.user, identity.role, identity.expires_at) == ("ada", "operator", 1060)
    assert identity.may("viewer")
    assert identity.may("operator")
    assert not identity.may("admin")


@pytest.mark.parametrize(
    ("token", "now"),
    [
        (Signer(KEY).sign("ada", "viewer", "access", 1000, 60), 1066),
        (Signer(KEY).sign("ada", "viewer", "refresh", 1000, 60), 1000),
        (Signer("x" * 40).sign("ada", "viewer", "access", 1000, 60), 1000),
        ("", 1000),
        ("a.b.c", 1000),
    ],
)
def test_an_expired_foreign_or_broken_token_is_refused(token, now):
    with pytest.raises(TokenRefused):
        Signer(KEY).read(token, "access", now)


def test_a_bucket_refills_with_time():
    bucket = TokenBucket.full(2.0, 0.0)
    assert [bucket.take(0.0) for _ in range(3)] == [True, True, False]
    assert bucket.wait_s(0.0) == pytest.approx(0.5)
    assert bucket.take(0.5)


def test_a_limiter_keeps_keys_apart_and_forgets_the_oldest():
    limiter = Limiter(rate=1, capacity=1, keys=2)
    assert [limiter.wait_s(key, 0.0) for key in ("a", "b", "a")] == [0.0, 0.0, 1.0]
    limiter.wait_s("c", 0.0)
    assert limiter.wait_s("b", 0.0) == 0.0


async def test_a_bug_is_answered_as_a_problem_too():
    app = FastAPI()
    problems.install(app)

    @app.get("/broken")
    async def broken() -> None:
        raise KeyError("a bug")

    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        answer = await client.get("/broken")
    assert (answer.status_code, answer.headers["content-type"]) == (500, problems.MEDIA_TYPE)
    assert answer.json()["code"] == 5407


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid")

    width: int = 0


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid")

    esp_id: str = ""
    parts: list[Part] | None = None

    @model_validator(mode="after")
    def _named(self) -> "Body":
        if not self.esp_id:
            raise ValueError("name a device")
        return self


@pytest.mark.parametrize(
    ("verb", "path", "sent", "kind", "expected"),
    [
        (
            "POST",
            "/",
            '{"esp_id":"A",\n  "name":}',
            "application/json",
            (422, 5209, "the body is not JSON: Expecting value at line 2, column 10"),
        ),
        (
            "POST",
            "/",
            '{"esp_id":"A"}',
            "text/plain",
            (422, 5206, "the body was not read as JSON: send the header Con"),
        ),
        (
            "POST",
            "/",
            '{"espid":"A"}',
            "application/json",
            (422, 5206, "espid: there is no such field: did you mean esp_id?"),
        ),
        ("POST", "/", '{"esp_id":"A","x":1}', "application/json", (422, 5206, "x: there is no such field")),
        (
            "POST",
            "/",
            '{"parts":[{},{"widht":1}]}',
            "application/json",
            (422, 5206, "parts.1.widht: there is no such field: did you mean width?"),
        ),
        ("POST", "/", "{}", "application/json", (422, 5206, "request: name a device")),
        ("POST", "/x", "{}", "application/json", (404, 5407, "there is no POST /x: /api/docs lists all requests")),
        ("GET", "/docs", "", "application/json", (404, 5407, "there is no GET /docs: /api/docs lists all requests")),
        (
            "GET",
            "/api/v1/devices",
            "",
            "application/json",
            (404, 5407, "there is no GET /api/v1/devices: did you mean /api/v1/esp/devices? /api/docs lists all re"),
        ),
        ("DELETE", "/", "", "application/json", (405, 5407, "there is no DELETE /: /api/docs lists all requests")),
    ],
)
async def test_an_answer_to_a_wrong_request_says_what_is_wrong_and_where(verb, path, sent, kind, expected):
    app = FastAPI(docs_url=None, redoc_url=None)
    problems.install(app)

    @app.post("/")
    async def take(body: Body) -> None:
        """Take it."""

    router = APIRouter(prefix="/api/v1/esp")

    @router.get("/devices")
    async def devices() -> None:
        """Its path is like another one."""

    app.include_router(router)

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        answer = await client.request(verb, path, content=sent, headers={"Content-Type": kind})
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == expected[:2]
    assert problem["detail"].startswith(expected[2])


def delivery(subject: str, sequence: int, body: bytes) -> Delivery:
    return Delivery(subject, f"$JS.ACK.EVENTS.x.1.{sequence}.1.1767225600123000000.0", body, None)


def numbered(found) -> list[tuple[int, str, bytes]]:
    return [(one.seq, one.esp_id, one.frame) for one in found]


def test_a_pack_has_an_event_for_each_line_that_is_wanted():
    body = b'{"esp_id":"ESP_A","value":1}\n{"esp_id":"ESP_B","value":2}\n{"esp_id":"ESP_A","value":3}'
    found = events_of(delivery("event.sensor_data.0", 7, body), lambda _, esp_id: esp_id == "ESP_A")
    frame = b'{"type":"sensor_data","timestamp":1767225600.123,"seq":%d,"data":{"esp_id":"ESP_A","value":%d}}'
    assert numbered(found) == [(28672, "ESP_A", frame % (28672, 1)), (28674, "ESP_A", frame % (28674, 3))]


def test_a_line_of_a_pack_of_modules_is_an_event_of_its_serial():
    body = b'{"env":"live","serial":"SVR1"}\n{"env":"live","serial":"5iO4"}'
    found = events_of(delivery("event.factory_module.0", 7, body), lambda *_: True)
    assert [(one.seq, one.esp_id, one.key()) for one in found] == [
        (28672, "SVR1", ("factory_module", "SVR1")),
        (28673, "5iO4", ("factory_module", "5iO4")),
    ]


def test_a_message_of_a_version_before_packs_is_an_event():
    found = events_of(delivery("event.sensor_data.ESP_A", 7, b'{"esp_id":"ESP_A"}'), lambda *_: True)
    assert [(one.seq, one.esp_id, one.data()) for one in found] == [(28672, "ESP_A", {"esp_id": "ESP_A"})]


@pytest.mark.parametrize("place", range(4))
@pytest.mark.parametrize("broken", [b"{not json", b"", b"7", b'{"esp_id":7}', b"\xff"])
def test_a_broken_line_at_any_place_takes_no_other_line_with_it(place, broken):
    lines = [b'{"esp_id":"ESP_A"}'] * 3
    lines.insert(place, broken)
    found = events_of(delivery("event.sensor_data.0", 1, b"\n".join(lines)), lambda *_: True)
    assert [one.seq - 4096 for one in found] == [number for number in range(4) if number != place]


def test_an_empty_pack_has_no_event():
    assert list(events_of(delivery("event.sensor_data.0", 1, b""), lambda *_: True)) == []


@pytest.mark.parametrize(
    "body", [b"{not json", b"[1]", b"", b"[" * 100_000, b'{"esp_id": ["a"], "gpio": {"b": 1}}', b"\xff"]
)
def test_an_event_of_any_body_has_data_and_a_key(body):
    one = Event("sensor_data", "ESP_A", 1, 0.0, body)
    assert isinstance(one.data(), dict)
    assert isinstance(hash(one.key()), int)


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", "\n=1"])
def test_a_text_that_a_spreadsheet_would_compute_is_made_plain(text):
    [row] = list(csv.reader(io.StringIO(to_csv(["unit", "value", "raw"], [[text, -1.5, None]]), newline="")))[1:]
    assert row == [f"'{text}", "-1.5", ""]


def test_an_ordinary_text_stays_as_it_is_in_csv():
    assert to_csv(["a"], [['°C, per "day"'], ["x-1"], [7]]) == 'a\r\n"°C, per ""day"""\r\nx-1\r\n7\r\n'


async def test_others_have_turns_while_a_page_of_ten_thousand_rows_is_written_as_csv():
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    beside = asyncio.create_task(others())
    try:
        answer = await csv_answer(["a", "b"], ((number, "=1") for number in range(10_000)), {"Kaiser-Next-Cursor": "9"})
    finally:
        beside.cancel()
    lines = bytes(answer.body).decode().splitlines()
    assert (lines[:2], lines[-1], len(lines)) == (["a,b", "0,'=1"], "9999,'=1", 10_001)
    assert answer.headers["Kaiser-Next-Cursor"] == "9"
    assert turns >= 10_000 / 200


def test_a_factory_behind_one_address_signs_in_at_the_issuer_and_failed_ones_alone_count():
    limits, now = ExternalLimits(address=30, name=60), 0.0
    for number in range(500):
        assert limits.wait_s("198.51.100.1", now) == 0
        limits.was_begun("198.51.100.1")
        assert limits.wait_s("198.51.100.1", now) == 0
        limits.was_right(f"user {number}", "198.51.100.1", now)
    assert [limits.wait_s("198.51.100.1", now) == 0 for _ in range(31)] == [True] * 30 + [False]
    assert limits.wait_s("198.51.100.2", now) == 0
    assert limits.wait_s("198.51.100.1", now + 2.0) == 0, "a minute has 30 again"


def test_a_name_has_only_so_many_right_sign_ins_at_the_issuer_that_do_not_count():
    limits, now = ExternalLimits(address=30, name=60), 0.0
    allowed = 0
    while limits.wait_s("198.51.100.1", now) == 0:
        limits.was_right("mallory", "198.51.100.1", now)
        allowed += 1
    assert allowed == 90
