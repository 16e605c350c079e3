"""The message centre on a real NATS: topics, pages, differences, and viewers with the last values first."""

import asyncio
import json
import time
from typing import Any

import pytest
from kaiser_common.bus.connection import Bus, Outgoing
from kaiser_common.bus.connection import connect as bus_connect
from kaiser_common.contract.schemas.factory import FactoryEnvironment
from kaiser_common.contract.subjects import INGEST_BUCKET, TOPICS
from kaiser_common.runtime.settings import CommonSettings
from kaiser_factory_dialect.subjects import topic_subject
from kaiser_gateway.domain.kept import TopicMessage
from kaiser_gateway.store import buffers as buffers_module
from kaiser_gateway.store.buffers import Buffers
from nats.js.errors import KeyNotFoundError
from waiting import until
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

WITHIN_S = 60.0
STATE = "module/v1/ff/SVR1/state"


class Factory:
    """Fills TOPICS as ingest does, and enters environments."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.epoch = 0

    async def enter(self, env: str = "live") -> int:
        bucket = await self.bus.jetstream.key_value(INGEST_BUCKET.name)
        try:
            self.epoch = json.loads((await bucket.get("environment")).value or b"")["epoch"]
        except KeyNotFoundError:
            self.epoch = 0
        self.epoch += 1
        entered = FactoryEnvironment(env=env, kind="mock" if env == "mock" else "live", epoch=self.epoch)
        await bucket.put("environment", entered.model_dump_json().encode())
        return self.epoch

    async def say(self, *messages: tuple[str, bytes], env: str = "live", **headers: str) -> None:
        given = {
            "Mqtt-Qos": "1",
            "Mqtt-Retain": "0",
            "Kaiser-Received-At": str(time.time_ns()),
            "Kaiser-Verdict": "module.state",
            "Kaiser-Epoch": str(self.epoch),
            "Kaiser-Own": "0",
        } | {name.replace("_", "-"): value for name, value in headers.items()}
        for at in range(0, len(messages), 500):
            await self.bus.publish_batch(
                [
                    Outgoing(topic_subject(env, topic), payload, self.bus.message_id(), headers=tuple(given.items()))
                    for topic, payload in messages[at : at + 500]
                ]
            )

    async def empty(self) -> None:
        await self.bus.jetstream.purge_stream(TOPICS.name)


@pytest.fixture
async def factory(module_bus):
    async with bus_connect(CommonSettings(nats_url=module_bus), "factory-stand-in") as bus:
        factory = Factory(bus)
        await factory.empty()
        await factory.enter()
        yield factory


async def topics_of(http: Any, **query: Any) -> dict[str, Any]:
    answer = await http.get("/api/v1/messages/topics", params=query)
    assert answer.status_code == 200, answer.text
    return {one["topic"]: one for one in answer.json()["topics"]}


async def shown(gateway: Any, epoch: int, *topics: str) -> None:
    """Wait until the gateway has these topics of this epoch."""

    async def there() -> bool:
        async with gateway.http("viewer") as http:
            answer = (await http.get("/api/v1/messages/topics")).json()
        return answer.get("epoch") == epoch and set(topics) <= {one["topic"] for one in answer["topics"]}

    await until(there)


def watch(gateway: Any, client_id: str = "v1", role: str = "viewer", **query: Any) -> Any:
    pairs = {"token": gateway.token(role), "rate": 1000, **query}
    parameters = "&".join(f"{name}={value}" for name, value in pairs.items())
    return connect(f"ws://127.0.0.1:{gateway.port}/api/v1/ws/messages/{client_id}?{parameters}", max_size=2**24)


async def frame(socket: ClientConnection, kind: str) -> dict[str, Any]:
    """The next frame of a kind; all that come before it are dropped."""
    async with asyncio.timeout(WITHIN_S):
        while True:
            found = json.loads(await socket.recv())
            if found["type"] == kind:
                return dict(found)


async def opening(socket: ClientConnection) -> tuple[dict[str, Any], list[dict[str, Any]], dict[str, Any]]:
    """The frames up to `ready`: the frame `opened`, the messages, the frame `ready`."""
    opened, items = await frame(socket, "opened"), []
    async with asyncio.timeout(WITHIN_S):
        while True:
            found = json.loads(await socket.recv())
            if found["type"] == "ready":
                return opened, items, found
            if found["type"] == "messages":
                items += found["items"]


async def test_topics_have_their_last_message_their_count_and_their_level(gateway, factory):
    await factory.say((STATE, b'{"n": 1}'), (STATE, b'{"n": 2}'))
    await factory.say(("osf/x", b"hello"), Kaiser_Verdict="observed", Mqtt_Retain="1")
    await shown(gateway, factory.epoch, STATE, "osf/x")
    async with gateway.http("viewer") as http:
        every = await topics_of(http)
        assert (every[STATE]["held"], every[STATE]["level"], every[STATE]["last"]["kind"]) == (2, 1, "module.state")
        assert (every["osf/x"]["level"], every["osf/x"]["last"]["reason"]) == (5, "observed")
        assert every[STATE]["age_ms"] >= 0
        assert (await topics_of(http, priority=1)).keys() == {STATE}
        assert (await topics_of(http, filter="osf/#")).keys() == {"osf/x"}
        assert (await topics_of(http, retained=True)).keys() == {"osf/x"}
        assert (await topics_of(http, search='"N": 2')).keys() == {STATE}


async def test_a_filter_with_a_star_is_refused_with_the_hint(gateway, factory):
    await shown(gateway, factory.epoch)
    async with gateway.http("viewer") as http:
        for path in ("/api/v1/messages/topics", "/api/v1/messages"):
            answer = await http.get(path, params={"filter": "module/v1/*/state"})
            assert (answer.status_code, answer.json()["field"]) == (422, "filter")
            assert "use + for one level, # for all that follow" in answer.json()["detail"]
    async with watch(gateway, filter="module/v1/*/state") as socket:
        with pytest.raises(ConnectionClosed) as closed:
            await socket.recv()
        assert (closed.value.rcvd.code, "use + for one level" in closed.value.rcvd.reason) == (4400, True)


async def test_messages_come_newest_first_and_a_cursor_goes_on(gateway, factory):
    await factory.say(*[(STATE, b'{"n": %d}' % n) for n in range(25)])
    await factory.say(*[("ccu/noise", b"%d" % n) for n in range(4500)], Kaiser_Verdict="5209")
    await shown(gateway, factory.epoch, STATE, "ccu/noise")
    async with gateway.http("viewer") as http:
        found: list[int] = []
        query: dict[str, Any] = {"topic": STATE, "limit": 10}
        while True:
            page = (await http.get("/api/v1/messages", params=query)).json()
            found += [json.loads(one["payload"])["n"] for one in page["items"]]
            if page["next_cursor"] is None:
                break
            query["cursor"] = page["next_cursor"]
        assert found == list(range(24, -1, -1))
        rejected = (await http.get("/api/v1/messages", params={"verdict": "reject", "limit": 3})).json()["items"]
        assert [one["payload"] for one in rejected] == ["4499", "4498", "4497"]
        searched = (await http.get("/api/v1/messages", params={"search": '"n": 7}'})).json()
        assert [one["payload"] for one in searched["items"]] == ['{"n": 7}']


async def test_a_search_that_finds_nothing_ends_in_its_time_lets_others_work_and_goes_on_by_its_cursor(factory):
    count = 5000
    await factory.say(*[(f"module/v1/ff/S{number % 10}/state", b'{"n":%d}' % number) for number in range(count)])
    buffers, seen, pages, turns = Buffers(factory.bus), set(), 0, 0

    def wanted(message: TopicMessage) -> bool:
        seen.add(message.payload)
        return False

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    beside, before = asyncio.create_task(others()), None
    try:
        while pages == 0 or before is not None:
            page = await buffers.page("topic.live.>", wanted, before, 10, within_s=0.0)
            pages, before = pages + 1, page.before
            assert page.messages == []
    finally:
        beside.cancel()
    assert len(seen) == count, "the pages miss nothing"
    assert pages >= 3, "each ends after its first window: its time is over"
    assert turns >= count / 10


async def test_many_searches_at_once_do_not_cost_the_gateway_its_connection_to_the_bus(
    factory, module_bus, monkeypatch
):
    """NATS disconnects a client for which 64 MiB wait: sixty batches of pictures are four times as much."""
    monkeypatch.setattr(buffers_module, "_FIRST_S", 120.0)
    picture = bytes(range(256)) * 400
    await factory.say(*[(f"lab/camera/{number}", picture) for number in range(48)])
    async with bus_connect(CommonSettings(nats_url=module_bus), "gateway") as bus:
        buffers = Buffers(bus)
        before = bus.client.stats["reconnects"]

        async def search() -> int:
            page = await buffers.page("topic.live.>", lambda message: message.topic.endswith("7"), None, 9)
            return len(page.messages)

        assert await asyncio.gather(*(search() for _ in range(60))) == [5] * 60
        assert bus.client.stats["reconnects"] == before


async def test_pages_take_no_consumers_of_the_stream(gateway, factory):
    await factory.say(*[(STATE, b"%d" % n) for n in range(20)])
    await shown(gateway, factory.epoch, STATE)
    before = (await factory.bus.jetstream.stream_info(TOPICS.name)).state.consumer_count
    async with gateway.http("viewer") as http:
        for _ in range(100):
            assert len((await http.get("/api/v1/messages", params={"topic": STATE})).json()["items"]) == 20
    after = (await factory.bus.jetstream.stream_info(TOPICS.name)).state.consumer_count
    assert after <= before, "a reader of an earlier test may have ended meanwhile"


async def test_a_message_is_read_in_full_and_compared_with_the_one_before(gateway, factory):
    large = json.dumps({"loads": [{"id": "a", "type": "RED"}], "filler": "x" * 20_000}).encode()
    await factory.say((STATE, b'{"loads": [{"id": "b", "type": "BLUE"}]}'), ("osf/y", b"{}"), (STATE, large))
    await shown(gateway, factory.epoch, STATE, "osf/y")
    async with gateway.http("viewer") as http:
        last = (await http.get("/api/v1/messages", params={"topic": STATE})).json()["items"][0]
        assert ("payload" not in last or last["payload"] is None, last["size"]) == (True, len(large))
        whole = (await http.get(f"/api/v1/messages/{last['seq']}")).json()
        assert (whole["payload"], whole["pretty"][:10]) == (large.decode(), '{\n  "loads')
        diff = (await http.get(f"/api/v1/messages/{last['seq']}/diff")).json()
        assert [(one["path"], one["op"]) for one in diff["changes"]] == [
            ("loads[id=b]", "remove"),
            ("loads[id=a]", "add"),
            ("filler", "add"),
        ]
        first = (await http.get(f"/api/v1/messages/{diff['before']}/diff")).json()
        assert (first["before"], first["changes"]) == (None, [])
        assert (await http.get("/api/v1/messages/99999999")).status_code == 404


async def test_clearing_leaves_the_last_message_of_each_topic(gateway, factory):
    await factory.say(*[(STATE, b"%d" % n) for n in range(5)], ("ccu/x", b"1"), ("ccu/x", b"2"))
    await shown(gateway, factory.epoch, STATE, "ccu/x")
    async with gateway.http("viewer") as http:
        assert (await http.post("/api/v1/messages/clear", json={"filter": "module/#"})).status_code == 403
    async with gateway.http("operator") as http:
        cleared = await http.post("/api/v1/messages/clear", json={"filter": "module/#"})
        assert cleared.json() == {"topics": 1, "messages": 4}
        every = await topics_of(http)
        assert {topic: one["held"] for topic, one in every.items()} == {STATE: 1, "ccu/x": 2}
        kept = (await http.get("/api/v1/messages", params={"topic": STATE})).json()["items"]
        assert [one["payload"] for one in kept] == ["4"]
    async with gateway.http("admin") as http:
        found = (await http.get("/api/v1/auth/log?limit=1000")).json()["items"]
    assert "module/#" in [one["target"] for one in found if one["action"] == "clear_messages"]


async def test_a_viewer_gets_the_last_values_and_then_every_message(gateway, factory):
    await factory.say((STATE, b"1"), (STATE, b"2"), ("fts/v1/ff/A/state", b"3"))
    await shown(gateway, factory.epoch, STATE, "fts/v1/ff/A/state")
    async with watch(gateway, priority=1) as socket:
        opened, items, ready = await opening(socket)
        assert (opened["env"], opened["epoch"], opened["resumed"]) == ("live", factory.epoch, False)
        assert [(one["topic"], one["payload"], one["held"]) for one in items] == [(STATE, "2", 2)]
        assert (ready["topics"], ready["complete"]) == (1, True)
        await factory.say(("fts/v1/ff/A/state", b"4"), (STATE, b"5"))
        live = await frame(socket, "messages")
        assert live["snapshot"] is False
        assert [(one["topic"], one["payload"], one["held"]) for one in live["items"]] == [(STATE, "5", 3)]
        await socket.send('{"action":"ping"}')
        await frame(socket, "pong")


async def test_a_viewer_resumes_with_what_it_missed(gateway, factory):
    await factory.say((STATE, b"1"))
    await shown(gateway, factory.epoch, STATE)
    async with watch(gateway) as socket:
        _, items, _ = await opening(socket)
    await factory.say((STATE, b"2"), (STATE, b"3"), ("osf/z", b"4"))
    await shown(gateway, factory.epoch, "osf/z")
    async with watch(gateway, after=items[-1]["seq"], epoch=factory.epoch, filter="module/%23") as socket:
        opened, missed, _ = await opening(socket)
        assert opened["resumed"] is True
        assert [one["payload"] for one in missed] == ["2", "3"]
    async with watch(gateway, after=items[-1]["seq"], epoch=factory.epoch - 1) as socket:
        opened, values, _ = await opening(socket)
        assert (opened["resumed"], len(values)) == (False, 2)


async def test_a_page_that_is_open_while_the_environment_is_switched_gets_the_values_of_the_new_one(gateway, factory):
    await factory.say((STATE, b"of live"))
    await factory.say((STATE, b"of mock"), ("ccu/x", b"1"), env="mock")
    await shown(gateway, factory.epoch, STATE)
    async with watch(gateway) as socket:
        _, items, _ = await opening(socket)
        assert [one["payload"] for one in items] == ["of live"]
        epoch = await factory.enter("mock")
        opened, items, _ = await opening(socket)
        assert (opened["env"], opened["kind"], opened["epoch"]) == ("mock", "mock", epoch)
        assert {one["topic"]: one["payload"] for one in items} == {STATE: "of mock", "ccu/x": "1"}
        await factory.say((STATE, b"live again"))
        await factory.say((STATE, b"mock again"), env="mock")
        assert [one["payload"] for one in (await frame(socket, "messages"))["items"]] == ["mock again"]
    async with gateway.http("viewer") as http:
        assert all(one["last"]["size"] != len(b"live again") + 1 for one in (await topics_of(http)).values())


async def test_above_its_rate_a_viewer_gets_the_newest_message_of_each_topic(gateway, factory):
    await factory.say((STATE, b"0"))
    await shown(gateway, factory.epoch, STATE)
    async with watch(gateway, rate=1) as socket:
        await opening(socket)
        await factory.say(*[(STATE, b"%d" % n) for n in range(1, 500)])
        payloads: list[str] = []
        replaced = 0
        async with asyncio.timeout(WITHIN_S):
            while "499" not in payloads or replaced <= 400:
                found = json.loads(await socket.recv())
                if found["type"] == "messages":
                    payloads += [one["payload"] for one in found["items"]]
                elif found["type"] == "conflated":
                    replaced += found["count"]
        assert len(payloads) < 20


async def test_a_viewer_that_reads_nothing_is_closed_and_delays_nobody(start_gateway, factory):
    gateway = start_gateway(KAISER_WS_STALLED_S="2")
    await factory.say((STATE, b"0"))
    await shown(gateway, factory.epoch, STATE)
    filler = b"x" * 7000
    async with watch(gateway, "quick", rate=5000) as quick:
        await opening(quick)
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port, limit=1024)
        writer.write(
            f"GET /api/v1/ws/messages/stalled?rate=5000&token={gateway.token('viewer')} HTTP/1.1\r\n"
            f"Host: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
        )
        await writer.drain()
        await reader.readline()  # it is let in, and reads nothing more
        seen: set[str] = set()
        for n in range(40):
            topics = [(f"module/v1/ff/S{n}x{each}/state", filler) for each in range(50)]
            await factory.say(*topics)
            while not {topic for topic, _ in topics} <= seen:
                seen |= {one["topic"] for one in (await frame(quick, "messages"))["items"]}

        async def closed() -> bool:
            async with gateway.http("viewer") as http:
                metrics = (await http.get(f"{gateway.internal}/metrics")).text
            return "kaiser_gateway_viewers 1.0" in metrics

        await until(closed)
        writer.close()


AT_ONCE, TOPICS_AT_RATE = 10, 50


async def say_at_rate(factory: Factory, seconds: float) -> int:
    """1,000 messages a second of 50 topics, each with its number and the time at which it was due."""
    began, number = time.time(), 0
    while number < seconds * 1000:
        due = began + number / 1000
        await asyncio.sleep(max(0.0, due - time.time()))
        await factory.say(
            *[
                (f"module/v1/ff/R{n % TOPICS_AT_RATE}/state", b'{"n":%d,"due":%f}' % (n, due))
                for n in range(number, number + AT_ONCE)
            ]
        )
        number += AT_ONCE
    return number


async def seen_by(socket: ClientConnection, last: int) -> tuple[list[int], list[float]]:
    """The numbers that a viewer gets up to the last one of every topic, and how late each came, in s."""
    numbers: list[int] = []
    late: list[float] = []
    newest: dict[str, int] = {}
    async with asyncio.timeout(WITHIN_S):
        while sum(n >= last - TOPICS_AT_RATE for n in newest.values()) < TOPICS_AT_RATE:
            for one in (await frame(socket, "messages"))["items"]:
                said = json.loads(one["payload"])
                numbers.append(said["n"])
                late.append(time.time() - said["due"])
                newest[one["topic"]] = said["n"]
    return numbers, late


async def at_1000_a_second(gateway: Any, factory: Factory, seconds: float) -> list[float]:
    """Have one viewer take all, one a few a second, and one read nothing; how late messages were at the first, in s."""
    async with watch(gateway, "all", rate=5000) as every, watch(gateway, "few", rate=20) as few:
        await opening(every)
        await opening(few)
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port, limit=1024)
        writer.write(
            f"GET /api/v1/ws/messages/nothing?rate=5000&token={gateway.token('viewer')} HTTP/1.1\r\n"
            f"Host: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
        )
        await writer.drain()
        await reader.readline()
        last = int(seconds * 1000)
        saying = asyncio.create_task(say_at_rate(factory, seconds))
        (numbers, late), (kept, _) = await asyncio.gather(seen_by(every, last), seen_by(few, last))
        await saying
        writer.close()
    assert sorted(numbers) == list(range(last))  # each message once, none replaced
    assert len(kept) < last / 4  # above its rate a viewer gets the newest of each topic, of every topic
    return late


async def test_1000_messages_a_second_reach_a_viewer_whatever_others_read(start_gateway, factory):
    gateway = start_gateway()
    await factory.say((STATE, b'{"n":-1,"due":0}'))
    await shown(gateway, factory.epoch, STATE)
    await at_1000_a_second(gateway, factory, 3.0)


async def test_a_viewer_stays_while_nats_is_killed_and_gets_the_last_values_again(gateway, factory, nats_server):
    await factory.say((STATE, b"before"))
    await shown(gateway, factory.epoch, STATE)
    async with watch(gateway) as socket:
        await opening(socket)
        nats_server.kill()
        nats_server.start()
        _, items, _ = await opening(socket)
        assert [one["payload"] for one in items] == ["before"]
        await factory.say((STATE, b"after"))
        assert [one["payload"] for one in (await frame(socket, "messages"))["items"]] == ["after"]


async def test_there_are_as_many_viewers_as_may_be(start_gateway, factory):
    gateway = start_gateway(KAISER_WS_VIEWERS="1")
    await shown(gateway, factory.epoch)
    async with watch(gateway, "one") as first:
        await opening(first)
        async with watch(gateway, "two") as second:
            with pytest.raises(ConnectionClosed) as closed:
                await second.recv()
            assert closed.value.rcvd.code == 1013
    async with watch(gateway, "three", token="wrong") as third:
        with pytest.raises(ConnectionClosed) as closed:
            await third.recv()
        assert closed.value.rcvd.code == 4001


async def test_a_user_has_half_of_the_viewers_at_most(start_gateway, factory):
    gateway = start_gateway(KAISER_WS_VIEWERS="4")
    await shown(gateway, factory.epoch)
    async with watch(gateway, "one") as first, watch(gateway, "two") as second:
        await opening(first)
        await opening(second)
        async with watch(gateway, "three") as third:
            with pytest.raises(ConnectionClosed) as closed:
                await third.recv()
            assert closed.value.rcvd.code == 1013
        async with watch(gateway, "four", token=gateway.token(user="bea")) as of_another:
            await opening(of_another)


async def test_a_message_that_nests_deep_and_its_difference_are_answered_and_stay_small(gateway, factory):
    """Indented as it is, the last one would have 100 MB."""
    deep = [b"[" * 900 + b"1," * count + b"1" + b"]" * 900 for count in (1, 30_000)]
    keys = [
        b'{"%b":' % (b"k" * 1000) * 40 + b"[" + b",".join(b"%d" % (n + step) for n in range(2000)) for step in (0, 1)
    ]
    await factory.say(*[(STATE, each) for each in deep], *[("osf/keys", each + b"]" + b"}" * 40) for each in keys])
    await shown(gateway, factory.epoch, STATE, "osf/keys")
    async with gateway.http("viewer") as http:
        for topic in (STATE, "osf/keys"):
            seq = (await http.get("/api/v1/messages", params={"topic": topic})).json()["items"][0]["seq"]
            for path in (f"/api/v1/messages/{seq}", f"/api/v1/messages/{seq}/diff"):
                answer = await http.get(path)
                assert answer.status_code == 200, answer.text[:200]
                assert len(answer.content) < 2_000_000


async def test_templates_are_messages_to_begin_with(gateway, factory):
    async with gateway.http("viewer") as http:
        items = (await http.get("/api/v1/messages/templates")).json()["templates"]
    assert {one["topic"] for one in items} >= {"ccu/order/request", "ccu/set/reset"}


async def test_a_message_is_sent_as_a_request_of_steering(gateway, factory):
    asked: list[dict[str, Any]] = []

    async def answer(message: Any) -> None:
        asked.append(json.loads(message.data))
        await message.respond(b'{"commands": []}')

    subscription = await factory.bus.client.subscribe("rpc.factory.steer", cb=answer)
    await factory.bus.client.flush()
    body = {"topic": "ccu/set/park", "payload": {"timestamp": "2026-01-01T00:00:00Z"}}
    async with gateway.http("operator") as http:
        sent = await http.post("/api/v1/messages", json=body, headers={"Idempotency-Key": "k1"})
        loose = await http.post("/api/v1/messages", json=body | {"qos": 0})
        twice = await http.post("/api/v1/messages", json=body | {"qos": 2})
        assert (loose.status_code, twice.status_code, twice.json()["field"]) == (202, 422, "qos")
        removed = await http.delete("/api/v1/messages/retained", params={"topic": "ccu/order/request"})
        assert (sent.status_code, removed.status_code) == (202, 202)
        retained = await http.post("/api/v1/messages", json=body | {"retain": True})
        assert (retained.status_code, retained.json()["field"]) == (422, "retain")
        both = await http.post("/api/v1/messages", json=body | {"payload_base64": "e30="})
        assert both.status_code == 422
        for text in (b'{"topic": "a", "payload": {"x": "\\ud800"}}', b'{"topic": "a", "payload": [NaN]}'):
            headers = {"Content-Type": "application/json"}
            half = await http.post("/api/v1/messages", content=text, headers=headers)
            assert (half.status_code, half.json()["field"]) == (422, "payload")
    async with gateway.http("viewer") as http:
        assert (await http.post("/api/v1/messages", json=body)).status_code == 403
    await subscription.unsubscribe()
    assert [one["request"] for one in asked] == [
        {"do": "publish", **body},
        {"do": "publish", **body, "qos": 0},
        {"do": "clear", "topic": "ccu/order/request"},
    ]
    assert asked[0]["idempotency_key"] == "k1"


@pytest.mark.speed
async def test_1000_messages_a_second_are_at_a_viewer_within_50_ms(start_gateway, factory):
    gateway = start_gateway()
    await factory.say((STATE, b'{"n":-1,"due":0}'))
    await shown(gateway, factory.epoch, STATE)
    late = sorted(await at_1000_a_second(gateway, factory, 10.0))
    p50, p99 = (late[int(len(late) * share)] * 1000 for share in (0.5, 0.99))
    print(f"1,000 messages/s at a viewer beside a slow and a stalled one: p50 {p50:.1f} ms, p99 {p99:.1f} ms")
    assert p99 < 50


@pytest.mark.speed
async def test_a_page_that_opens_late_has_the_last_values_of_5000_topics_within_300_ms(gateway, factory):
    payload = json.dumps({"serialNumber": "x" * 200, "actionState": {"id": "y" * 36}}).encode()
    topics = [f"module/v1/ff/S{n}/state" for n in range(5000)]
    await factory.say(*[(topic, payload) for topic in topics])
    await shown(gateway, factory.epoch, topics[-1], topics[0])
    taken: list[float] = []
    for _ in range(5):
        began = time.perf_counter()
        async with watch(gateway) as socket:
            _, items, ready = await opening(socket)
            taken.append(time.perf_counter() - began)
        assert (len(items), ready["topics"]) == (5000, 5000)
    print(f"last values of 5,000 topics: {sorted(taken)[2] * 1000:.0f} ms, worst {max(taken) * 1000:.0f} ms")
    assert sorted(taken)[2] < 0.3
