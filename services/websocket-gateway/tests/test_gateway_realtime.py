"""The WebSocket protocol, spoken by an independent client with the real gateway."""

import asyncio
import json
import time

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed


async def close_code(websocket) -> int:
    with pytest.raises(ConnectionClosed):
        async with asyncio.timeout(60):
            while True:
                await websocket.recv()
    return websocket.close_code


async def test_a_client_gets_every_event_before_it_subscribes(gateway, events, receive, settled):
    async with gateway.connect() as websocket:
        await settled(websocket)
        seq = await events.publish(value=7.25)
        frame = await receive(websocket)
        assert (frame["type"], frame["seq"], frame["data"]["value"]) == ("sensor_data", seq, 7.25)
        assert abs(frame["timestamp"] - time.time()) < 60


async def test_a_client_with_compression_gets_events_and_answers_whole_and_in_order(start_gateway, events, settled):
    gateway = start_gateway(KAISER_WS_COMPRESSION="1")
    async with gateway.connect(rate=5000) as websocket:
        assert [extension.name for extension in websocket.protocol.extensions] == ["permessage-deflate"]
        await settled(websocket)
        sent, got, pongs = [], [], 0
        for number in range(200):
            sent.append((await events.publish(gpio=number, note=f"{number} " * (number * 40 % 3000)), number))
            if number % 10 == 0:
                await websocket.send('{"action":"ping"}')
        async with asyncio.timeout(120):
            while len(got) < len(sent) or pongs < 20:
                frame = json.loads(await websocket.recv())
                if frame["type"] == "pong":
                    pongs += 1
                else:
                    got.append((frame["seq"], frame["data"]["gpio"]))
                    assert frame["data"]["note"] == f"{got[-1][1]} " * (got[-1][1] * 40 % 3000)
        assert got == sent


async def test_filters_in_force_are_answered_and_applied(gateway, events, receive):
    async with gateway.connect() as websocket:
        await websocket.send('{"action":"subscribe","filters":{"types":["sensor_data"],"esp_ids":["ESP_B"]}}')
        answer = await receive(websocket)
        assert answer["type"] == "subscribed"
        assert answer["data"]["filters"] == {
            "types": ["sensor_data"],
            "esp_ids": ["ESP_B"],
            "sensor_types": [],
            "topics": [],
        }
        await events.publish(esp_id="ESP_A")
        await events.publish("esp_health", esp_id="ESP_B")
        seq = await events.publish(esp_id="ESP_B")
        assert (await receive(websocket))["seq"] == seq


async def test_unsubscribing_ends_delivery(gateway, events, receive, settled):
    async with gateway.connect("quiet") as quiet, gateway.connect("watcher") as watcher:
        await settled(watcher)
        await quiet.send('{"action":"unsubscribe","filters":null}')
        assert (await receive(quiet, "subscribed"))["data"]["filters"] is None
        unseen = await events.publish()
        assert (await receive(watcher, "sensor_data"))["seq"] == unseen
        await quiet.send('{"action":"subscribe"}')
        assert (await receive(quiet))["type"] == "subscribed"
        seq = await events.publish()
        assert (await receive(quiet, "sensor_data"))["seq"] == seq


async def test_the_token_may_come_as_a_subprotocol(gateway, receive):
    url = f"ws://127.0.0.1:{gateway.port}/api/v1/ws/realtime/c1"
    async with connect(url, subprotocols=["bearer", gateway.token()]) as websocket:
        assert websocket.subprotocol == "bearer"
        await websocket.send('{"action":"ping"}')
        assert (await receive(websocket))["type"] == "pong"


async def test_the_token_may_come_as_a_header(gateway, receive):
    url = f"ws://127.0.0.1:{gateway.port}/api/v1/ws/realtime/c1"
    async with connect(url, additional_headers={"Authorization": f"Bearer {gateway.token()}"}) as websocket:
        await websocket.send('{"action":"ping"}')
        assert (await receive(websocket))["type"] == "pong"


@pytest.mark.parametrize("token", ["", "nonsense"])
async def test_a_missing_or_bad_token_is_closed_with_4001(gateway, token):
    async with gateway.connect(token=token) as websocket:
        assert await close_code(websocket) == 4001


async def test_a_valid_token_without_a_role_is_closed_with_4003(gateway):
    async with gateway.connect(token=gateway.token("nobody")) as websocket:
        assert await close_code(websocket) == 4003


@pytest.mark.parametrize("rate", ["0", "-1", "nan", "quick"])
async def test_a_rate_that_is_none_is_closed_with_4400(gateway, rate):
    async with gateway.connect(rate=rate) as websocket:
        assert await close_code(websocket) == 4400


async def test_too_many_clients_are_sent_away_with_1013(start_gateway, settled):
    gateway = start_gateway(KAISER_WS_MAX_CLIENTS="1")
    async with gateway.connect("one") as one, gateway.connect("two") as two:
        await settled(one)
        assert await close_code(two) == 1013


async def test_an_expiring_token_is_warned_of_and_then_closed_with_4001(gateway, receive):
    async with gateway.connect(token=gateway.token(lifetime_s=3)) as websocket:
        warning = await receive(websocket, "system_event")
        assert warning["data"]["event"] == "token_expiring"
        assert await close_code(websocket) == 4001


async def test_a_newer_connection_with_the_same_id_replaces_the_older_with_4009(gateway, receive, settled):
    async with gateway.connect("same") as older, gateway.connect("same") as newer:
        assert await close_code(older) == 4009
        await settled(newer)


async def test_a_client_of_another_user_with_the_same_id_replaces_nothing(gateway, settled):
    async with gateway.connect("same") as ada, gateway.connect("same", gateway.token(user="bea")) as bob:
        await settled(bob)
        await settled(ada)


async def test_three_bad_messages_are_told_and_then_closed_with_4400(gateway, receive):
    async with gateway.connect() as websocket:
        for _ in range(3):
            await websocket.send("nonsense")
        assert (await receive(websocket))["type"] == "error"
        assert await close_code(websocket) == 4400


async def test_over_the_rate_the_newest_comes_and_the_conflation_is_told(gateway, events, receive, settled):
    async with gateway.connect(rate=5) as websocket:
        await settled(websocket)
        for number in range(50):
            await events.publish(value=float(number))
        values, told = [], 0
        async with asyncio.timeout(60):
            while not (49.0 in values and told + len(values) == 50):
                frame = json.loads(await websocket.recv())
                if frame["type"] == "sensor_data":
                    values.append(frame["data"]["value"])
                elif frame["data"]["event"] == "events_conflated":
                    told += frame["data"]["details"]["count"]
        assert values == sorted(values)
        assert 5 <= len(values) < 50


async def test_alerts_overtake_what_waits(gateway, events, receive, settled):
    async with gateway.connect(rate=1) as websocket:
        await settled(websocket)
        for gpio in range(20):
            await events.publish(gpio=gpio)
        seq = await events.publish("actuator_alert")
        before = []
        while (frame := json.loads(await websocket.recv()))["type"] != "actuator_alert":
            before.append(frame)
        assert frame["seq"] == seq
        assert len(before) < 15, "of the twenty that came first and go out one a second, most are behind it"


async def test_resume_replays_what_was_missed_over_a_restart_of_the_gateway(gateway, events, receive, settled):
    async with gateway.connect() as websocket:
        await settled(websocket)
        last = await events.publish()
        assert (await receive(websocket, "sensor_data"))["seq"] == last
        assert gateway.stop() == 0
        assert await close_code(websocket) == 1001
    missed = [await events.publish(value=float(number)) for number in range(300)]
    gateway.start()
    async with gateway.connect() as websocket:
        await websocket.send(json.dumps({"action": "resume", "after": last}))
        resumed = await receive(websocket, "resumed")
        assert resumed["data"] == {"from": last + 1, "missed": 0}
        got = [(await receive(websocket, "sensor_data"))["seq"] for _ in missed]
        assert got == missed
        seq = await events.publish(esp_id="ESP_B")
        assert (await receive(websocket, "sensor_data"))["seq"] == seq


async def test_resume_tells_a_gap(gateway, events, receive):
    seqs = [await events.publish() for _ in range(10)]
    await events.client.jetstream().purge_stream("EVENTS", seq=seqs[5] // 4096)
    async with gateway.connect() as websocket:
        await websocket.send(json.dumps({"action": "resume", "after": seqs[1]}))
        assert (await receive(websocket, "resumed"))["data"] == {"from": seqs[5], "missed": 3}
        assert [(await receive(websocket, "sensor_data"))["seq"] for _ in range(5)] == seqs[5:]


async def test_what_comes_while_a_client_resumes_is_not_lost(gateway, events, receive, settled):
    async with gateway.connect(rate=5000) as websocket:
        await settled(websocket)
        last = await events.publish()
        assert (await receive(websocket, "sensor_data"))["seq"] == last
        seen: list[int] = []
        published: list[int] = []
        for _ in range(40):
            # A client that is up to date resumes while an event is on its way.
            await websocket.send(json.dumps({"action": "resume", "after": last}))
            last = await events.publish(esp_id="ESP_RACE")
            published.append(last)
            while not seen or seen[-1] != last:
                seen.append((await receive(websocket, "sensor_data"))["seq"])
        assert set(published) <= set(seen)


async def test_a_stalled_client_is_closed_with_4008_and_does_not_delay_the_others(start_gateway, events, settled):
    gateway = start_gateway(KAISER_WS_STALLED_S="2", KAISER_WS_CLIENT_BYTES="100000")
    url = gateway.url("slow", rate=5000).replace("ws://", "")
    address, _, path = url.partition("/")
    host, _, port = address.partition(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=1024)
    writer.write(
        f"GET /{path} HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    await reader.readline()  # and nothing more is ever read
    rounds = 0
    async with gateway.connect("quick", rate=5000) as quick, gateway.http() as http, asyncio.timeout(120):
        await settled(quick)
        while 'code="4008"' not in (await http.get(f"{gateway.internal}/metrics")).text:
            seqs = [await events.publish(gpio=gpio % 40, text="x" * 20_000) for gpio in range(50)]
            while json.loads(await quick.recv()).get("seq") != seqs[-1]:
                pass
            rounds += 1
    writer.close()
    assert rounds, "the other one got all of its events while that one took nothing"


async def test_many_clients_share_one_event(gateway, events, receive, settled):
    async with asyncio.timeout(120), asyncio.TaskGroup() as tasks:
        ready = asyncio.Barrier(21)

        async def one(number: int) -> None:
            async with gateway.connect(f"c{number}", rate=1000) as websocket:
                await settled(websocket)
                await ready.wait()
                assert [(await receive(websocket, "sensor_data"))["data"]["value"] for _ in range(20)] == list(
                    range(20)
                )

        for number in range(20):
            tasks.create_task(one(number))
        await ready.wait()
        for value in range(20):
            await events.publish(value=value)
