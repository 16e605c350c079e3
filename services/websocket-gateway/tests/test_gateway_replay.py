"""Resuming: nothing is lost, whatever goes away in the middle of it."""

import asyncio
import json
from collections.abc import Awaitable, Callable

import pytest
from kaiser_common.bus import right_of_way
from kaiser_common.bus.connection import connect as bus_connect
from kaiser_common.bus.declare import apply
from kaiser_common.bus.pull import Delivery
from kaiser_common.bus.right_of_way import RightOfWay
from kaiser_common.runtime.settings import CommonSettings
from kaiser_gateway.domain.conflation import Outlet
from kaiser_gateway.domain.filters import Filters
from kaiser_gateway.domain.tokens import Identity
from kaiser_gateway.ws import replay
from kaiser_gateway.ws.client import Client
from kaiser_gateway.ws.hub import Hub
from kaiser_gateway.ws.replay import ReplayFailed, Replays, subject_of
from waiting import until
from websockets.exceptions import ConnectionClosed


async def resume(websocket, after: int) -> None:
    await websocket.send(json.dumps({"action": "resume", "after": after}))


async def frames_until(websocket, last_seq: int, timeout_s: float = 60.0) -> list[dict]:
    frames = []
    async with asyncio.timeout(timeout_s):
        while not frames or frames[-1].get("seq") != last_seq:
            frames.append(json.loads(await websocket.recv()))
    return frames


async def publish_many(events, count: int, size: int = 100, kind: str = "sensor_data") -> list[int]:
    tasks = []
    for start in range(0, count, 100):
        part = [events.publish(kind, text="x" * size) for _ in range(start, min(count, start + 100))]
        tasks += await asyncio.gather(*part)
    return sorted(tasks)


async def read(gateway, settled, publish: Callable[[], Awaitable[list[int]]]) -> list[int]:
    """The seqs of what `publish` publishes, once the gateway has read it: before that a new client gets it live."""
    async with gateway.connect("reader", max_queue=None, rate=5000) as websocket:
        await settled(websocket)
        seqs = await publish()
        await frames_until(websocket, seqs[-1])
    return seqs


async def declare(url: str) -> None:
    settings = CommonSettings(nats_url=url)
    async with bus_connect(settings, "tests") as bus:
        await apply(bus)


@pytest.mark.parametrize(
    ("filters", "subject"),
    [
        (None, None),
        (Filters(), "event.>"),
        (Filters(types=["sensor_data", "sensor_data"]), "event.sensor_data.*"),
        (Filters(esp_ids=["ESP_A"]), "event.>"),  # readings are packed by shard, all else is by device
        (Filters(types=["sensor_data", "esp_health"], esp_ids=["ESP_A"]), "event.>"),
        (Filters(types=["actuator_alert", "esp_health"], esp_ids=["ESP_A", "a.b"]), "event.*.ESP_A"),
        (Filters(types=["esp_health"], esp_ids=["ESP_A"]), "event.esp_health.ESP_A"),
        (Filters(types=["esp_health"], esp_ids=["ESP_A", "ESP_B"]), "event.esp_health.*"),
        (Filters(types=["sensor_data"], esp_ids=["ESP_A", "ESP_B"]), "event.sensor_data.*"),
        (Filters(types=["sensor_data"], esp_ids=["_"]), "event.sensor_data.*"),
        (Filters(types=["factory_module"], esp_ids=["SVR1"]), "event.factory_module.*"),
        (Filters(types=["factory_module", "factory_order"], esp_ids=["SVR1"]), "event.>"),
        (Filters(types=["system_event"], esp_ids=["_"]), "event.system_event._"),
        (Filters(types=["sensor_data", "esp_health"], esp_ids=["ESP_A", "ESP_B"]), "event.>"),
        (Filters(esp_ids=["*", ">", "a.b", "", "ä"]), None),
    ],
)
def test_a_replay_reads_what_the_filters_may_admit_and_no_id_becomes_a_wildcard(filters, subject):
    assert subject_of(filters) == subject


def client_of(filters: Filters, frames: list[bytes]) -> Client:
    async def send(frame: bytes) -> None:
        frames.append(frame)

    client = Client("c1", Identity(user="ada", role="viewer", expires_at=4e9), Outlet(1.0, 1000, 0.0), send)
    client.filters = filters
    return client


def pack_of(lines: int) -> Delivery:
    body = b"\n".join(b'{"esp_id":"ESP_A","topic":"kaiser/god/esp/ESP_A/sensor/%d/data"}' % n for n in range(lines))
    return Delivery("event.sensor_data.0", "$JS.ACK.EVENTS.x.1.7.7.1767225600123000000.0", body, None)


@pytest.mark.parametrize(("topic", "frames"), [("no/such/topic", 0), ("kaiser/+/esp/+/sensor/+/data", 4000)])
async def test_others_have_turns_while_a_pack_is_replayed_whatever_of_it_is_wanted(topic, frames):
    """A stop waits for a few events of a replay, not for all events that are kept."""
    sent: list[bytes] = []
    client, turns = client_of(Filters(topics=[topic]), sent), 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    beside = asyncio.create_task(others())
    try:
        await Replays(None, None, RightOfWay()).send(client, client.filters, pack_of(4000))
    finally:
        beside.cancel()
    assert turns >= 4000 / 50
    assert (len(sent), client.replayed_to) == (frames, 7 * 4096 + 3999)


async def test_a_replay_takes_no_step_while_a_stop_is_under_way(monkeypatch):
    monkeypatch.setattr(right_of_way, "HOLDS_S", 60.0)
    sent: list[bytes] = []
    way, client = RightOfWay(), client_of(Filters(), sent)
    with way.urgent():
        replaying = asyncio.create_task(Replays(None, None, way).send(client, client.filters, pack_of(1000)))
        for _ in range(100):
            await asyncio.sleep(0)
        assert len(sent) < 100
    async with asyncio.timeout(60):
        await replaying
    assert len(sent) == 1000


async def test_filters_that_change_in_the_middle_of_a_pack_leave_its_rest_to_a_replay_with_them(monkeypatch):
    monkeypatch.setattr(right_of_way, "HOLDS_S", 60.0)
    sent: list[bytes] = []
    way, client = RightOfWay(), client_of(Filters(), sent)
    with way.urgent():
        replaying = asyncio.create_task(Replays(None, None, way).send(client, client.filters, pack_of(1000)))
        for _ in range(100):
            await asyncio.sleep(0)
        client.filters = Filters(sensor_types=["ph"])
    async with asyncio.timeout(60):
        await replaying
    assert client.replayed_to == 7 * 4096 + len(sent) - 1 < 7 * 4096 + 100


async def test_a_replay_waits_until_live_events_are_read(module_bus, events, monkeypatch):
    """An event that comes after the replay's last one, and before the first live one is read, would be missed."""
    monkeypatch.setattr(replay, "_SILENCE_S", 0.05)
    seq = await events.publish()
    async with bus_connect(CommonSettings(nats_url=module_bus), "tests") as bus:
        frames: list[bytes] = []
        hub, client = Hub(bus, 15.0), client_of(Filters(), frames)
        replays = Replays(bus, hub, RightOfWay())
        with pytest.raises(ReplayFailed):
            await replays.run(client, seq - 1)
        assert (client.paused, frames) == (True, [])
        monkeypatch.setattr(replay, "_SILENCE_S", 60.0)
        stopping = asyncio.Event()
        running = asyncio.create_task(hub.run(stopping))
        await replays.run(client, seq - 1)
        assert not client.paused
        assert json.loads(frames[-1])["seq"] == seq
        stopping.set()
        await running


async def test_a_resume_at_any_line_of_a_pack_sends_each_later_event_once(gateway, events, settled):
    async def publish() -> list[int]:
        lines = [json.dumps({"esp_id": f"ESP_{number}", "gpio": 4, "sensor_type": "ph"}) for number in range(30)]
        packs = [await events.publish_pack(lines) for _ in range(3)]
        return [first + number for first in packs for number in range(30)]

    seqs = await read(gateway, settled, publish)
    for place in (0, 13, 29, 30, 44, 59, 60, 88):
        async with gateway.connect(rate=5000) as websocket:
            await resume(websocket, seqs[place])
            frames = await frames_until(websocket, seqs[-1])
        assert [frame["seq"] for frame in frames if frame["type"] == "sensor_data"] == seqs[place + 1 :]
        assert [frame["data"]["from"] for frame in frames if frame["type"] == "resumed"] == [seqs[place] + 1]


async def test_a_message_of_too_many_lines_takes_no_event_of_the_next_one_with_it(
    start_gateway, events, settled, tmp_path
):
    gateway = start_gateway(tmp_path / "log")

    async def publish() -> list[int]:
        lines = [json.dumps({"esp_id": f"ESP_{number}", "gpio": 4, "sensor_type": "ph"}) for number in range(30)]
        packs = []
        for _ in range(3):
            packs.append(await events.publish_pack(lines))
            await events.publish_pack([""] * 5000)
        packs.append(await events.publish_pack(lines))
        return [first + number for first in packs for number in range(30)]

    seqs = await read(gateway, settled, publish)
    async with gateway.connect(rate=5000) as websocket:
        await resume(websocket, seqs[0] - 1)
        frames = await frames_until(websocket, seqs[-1])
    assert [frame["seq"] for frame in frames if frame.get("seq", 0) >= seqs[0]] == seqs
    assert "events_recreated" not in (tmp_path / "log").read_text()


async def test_a_ping_is_answered_during_a_replay(gateway, events, settled):
    seqs = await read(gateway, settled, lambda: publish_many(events, 3000))
    async with gateway.connect() as websocket:
        await resume(websocket, seqs[0] - 1)
        await websocket.send('{"action":"ping"}')
        frames = await frames_until(websocket, seqs[-1])
    kinds = [frame["type"] for frame in frames]
    assert "pong" in kinds[:-1]
    assert [frame["seq"] for frame in frames if frame.get("seq", 0) >= seqs[0]] == seqs


async def test_filters_that_change_during_a_replay_are_in_force_at_once_and_nothing_of_them_is_lost(
    gateway, events, settled
):
    async def publish() -> list[int]:
        lines = [json.dumps({"esp_id": "ESP_A", "gpio": 4, "sensor_type": "ph", "text": "x" * 5000}) for _ in range(30)]
        packs = [await events.publish_pack(lines) for _ in range(100)]
        health = [await events.publish("esp_health") for _ in range(5)]
        return [*packs, *health, await events.publish()]

    *first, last = await read(gateway, settled, publish)
    health = first[-5:]
    # 15 MB that nobody reads: more than sockets hold, so the replay is under way until the filters have changed.
    async with gateway.connect(rate=5000, max_queue=1) as websocket:
        await websocket.send('{"action":"subscribe","filters":{"types":["sensor_data"]}}')
        await resume(websocket, first[0] - 1)
        await frames_until(websocket, first[0])
        await websocket.send('{"action":"subscribe","filters":{"types":["esp_health"]}}')
        frames = await frames_until(websocket, health[-1])
        assert [frame["seq"] for frame in frames if frame["type"] == "esp_health"] == health
        assert len(frames) < 3000
        assert last not in [frame.get("seq") for frame in frames]
        live = await events.publish("esp_health")
        assert (await frames_until(websocket, live))[-1]["seq"] == live


async def test_a_later_resume_takes_the_place_of_an_earlier(gateway, events, settled):
    seqs = await read(gateway, settled, lambda: publish_many(events, 2000))
    async with gateway.connect(rate=5000) as websocket:
        await resume(websocket, seqs[0] - 1)
        await resume(websocket, seqs[-10])
        frames, starts = [], []
        while seqs[-10] + 1 not in starts:  # the first one may have come to its end before
            frames += await frames_until(websocket, seqs[-1])
            starts = [frame["data"]["from"] for frame in frames if frame["type"] == "resumed"]
        assert starts[-1] == seqs[-10] + 1
        begins = max(place for place, frame in enumerate(frames) if frame["type"] == "resumed")
        assert [frame["seq"] for frame in frames[begins:] if frame["type"] == "sensor_data"] == seqs[-9:]
        live = await events.publish()
        assert (await frames_until(websocket, live))[-1]["seq"] == live


async def test_with_nats_gone_in_the_middle_of_a_replay_the_client_is_told_and_closed_and_resumes_later(
    start_gateway, nats_factory, events_on, settled
):
    server = nats_factory()
    await declare(server.url)
    gateway = start_gateway(KAISER_NATS_URL=server.url, KAISER_WS_STALLED_S="60")
    async with events_on(server.url) as events:
        seqs = await read(gateway, settled, lambda: publish_many(events, 3000, 5000))
    websocket = await gateway.connect(max_queue=1)
    async with websocket:
        await resume(websocket, 0)
        await websocket.recv()
        server.kill()
        seen, told = [], False
        with pytest.raises(ConnectionClosed):
            async with asyncio.timeout(120):
                while True:
                    frame = json.loads(await websocket.recv())
                    seen.append(frame.get("seq", 0))
                    told = told or frame["type"] == "error"
        assert told
        assert websocket.close_code == 1013
        assert max(seen) < seqs[-1]
    server.start()
    async with gateway.connect() as again:
        while True:
            await resume(again, max(seen))
            frame = json.loads(await again.recv())
            if frame["type"] == "resumed":
                break
        rest = await frames_until(again, seqs[-1])
    assert [frame["seq"] for frame in rest if "seq" in frame] == [seq for seq in seqs if seq > max(seen)]


async def test_when_the_events_begin_anew_clients_get_what_is_new(start_gateway, nats_factory, events_on):
    server = nats_factory()
    await declare(server.url)
    gateway = start_gateway(KAISER_NATS_URL=server.url)
    async with events_on(server.url) as events, gateway.connect(rate=5000) as websocket:
        before = (await publish_many(events, 50))[-1]
        await frames_until(websocket, before)
        await resume(websocket, before)  # so that the client, too, remembers a number of before
        before = await events.publish()
        await frames_until(websocket, before)
        await events.client.jetstream().delete_stream("EVENTS")
        await declare(server.url)
        first = await events.publish(value=1.5)
        assert first == 4096
        frame = (await frames_until(websocket, first))[-1]
        assert frame["data"]["value"] == 1.5
        second = await events.publish()
        async with gateway.connect("other") as other:
            await resume(other, before)
            while json.loads(await other.recv())["type"] != "resumed":
                pass
            replayed = await frames_until(other, second)
        assert [frame["seq"] for frame in replayed if "seq" in frame] == [4096, 8192]


async def test_what_waited_when_a_client_was_cut_off_is_replayed_though_an_alert_overtook_it(
    gateway, events, receive, settled
):
    websocket = await gateway.connect("cut", rate=1)
    await settled(websocket)
    waiting = [await events.publish(gpio=gpio) for gpio in range(20)]
    alert = await events.publish("actuator_alert")
    seen = set()
    while alert not in seen:
        seen.add((await receive(websocket))["seq"])
    websocket.transport.abort()
    await asyncio.sleep(0.3)
    async with gateway.connect("cut", rate=5000) as websocket:
        await resume(websocket, alert)
        live = await events.publish()
        seen |= {frame.get("seq") for frame in await frames_until(websocket, live)}
    assert set(waiting) <= seen


async def test_at_sigterm_a_client_gets_what_waits_for_it_and_then_1001(start_gateway, events, settled):
    gateway = start_gateway()
    async with gateway.connect(rate=1) as websocket:
        await settled(websocket)
        before = gateway.events_read()
        seqs = [await events.publish(gpio=gpio) for gpio in range(30)]
        while json.loads(await websocket.recv()).get("seq") != seqs[0]:
            pass
        await until(lambda: gateway.events_read() >= before + 30, "all are read")
        stopped = asyncio.create_task(asyncio.to_thread(gateway.stop))
        seen = []
        with pytest.raises(ConnectionClosed):
            while True:
                seen.append(json.loads(await websocket.recv()).get("seq"))
        assert websocket.close_code == 1001
        assert set(seqs[1:]) <= set(seen)
        assert await stopped == 0


async def test_a_client_that_kept_up_loses_nothing_when_the_gateway_is_killed(gateway, events, settled):
    async with gateway.connect(rate=5000) as websocket:
        await settled(websocket)
        last = (await publish_many(events, 20))[-1]
        await frames_until(websocket, last)
        gateway.kill()
        with pytest.raises(ConnectionClosed):
            while True:
                await websocket.recv()
    missed = await publish_many(events, 100)
    await asyncio.to_thread(gateway.start)
    async with gateway.connect(rate=5000) as websocket:
        await resume(websocket, last)
        frames = await frames_until(websocket, missed[-1])
    assert [frame["seq"] for frame in frames if "seq" in frame] == missed
