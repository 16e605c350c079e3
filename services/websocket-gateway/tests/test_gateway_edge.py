"""The public port against clients without a token, without an end, and without measure."""

import asyncio
import json
import re
import socket as sockets
import time
from functools import partial

import httpx
import nats
import pytest
from gateway_readers import memory_mb
from kaiser_gateway.domain.limits import source_of
from kaiser_gateway.http.connections import Connections
from kaiser_gateway.settings import GatewaySettings
from pydantic import ValidationError

BODY = b"[" + b"[]," * 1_300_000 + b"[]]"  # 4 MB that parse to 1.3 million lists
STOP = "/api/v1/actuators/emergency_stop"


async def raw(gateway, head: str, parts=(), timeout_s: float = 60.0) -> bytes:
    """The server's answer to raw bytes; a client that is cut off while it sends reads what there is."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    try:
        writer.write(head.encode())
        for part in parts:
            writer.write(part)
            await writer.drain()
    except ConnectionError:
        pass
    try:
        async with asyncio.timeout(timeout_s):
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


def head(gateway, *more: str, token: str = "", path: str = STOP) -> str:
    lines = [f"POST {path} HTTP/1.1", f"Host: 127.0.0.1:{gateway.port}", "Content-Type: application/json", *more]
    if token:
        lines.append(f"Authorization: Bearer {token}")
    return "\r\n".join(lines) + "\r\n\r\n"


@pytest.mark.parametrize("broken", ["", "x.y.z"])
@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_without_a_valid_token_is_not_read(gateway, chunked, broken):
    before = memory_mb(gateway.process.pid)
    length = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {40 * len(BODY)}"
    answer = await raw(gateway, head(gateway, length, token=broken))  # and nothing of the body is ever sent
    assert answer.startswith(b"HTTP/1.1 401 ")
    assert b"connection: close" in answer.lower()
    assert memory_mb(gateway.process.pid) < before + 20


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_over_a_mebibyte_is_413_and_costs_no_memory(gateway, chunked):
    """Chunked, it has no end: the answer comes with the first byte over the limit, and nothing more is sent."""
    before = memory_mb(gateway.process.pid, "VmHWM")
    if chunked:
        text = head(gateway, "Transfer-Encoding: chunked", token=gateway.token())
        answer = await raw(gateway, text, [b"7fffffff\r\n", b" " * (1 << 20), b" "])
    else:
        answer = await raw(gateway, head(gateway, f"Content-Length: {len(BODY)}", token=gateway.token()))
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"connection: close" in answer.lower()
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["status"] == 413
    assert memory_mb(gateway.process.pid, "VmHWM") < before + 20
    async with gateway.http(None) as http:
        assert (await http.get("/healthz")).status_code == 200


async def test_a_chunked_body_without_an_end_is_cut_off_and_costs_no_memory(gateway):
    before = memory_mb(gateway.process.pid, "VmHWM")
    text = head(gateway, "Transfer-Encoding: chunked", token=gateway.token())
    answer = await raw(gateway, text, [b"%x\r\n%b\r\n" % (len(BODY), BODY)] * 20)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 413 ")  # empty: reset while the client was sending
    assert memory_mb(gateway.process.pid, "VmHWM") < before + 20


async def test_a_chunked_sign_in_over_16_kib_is_413(gateway):
    text = head(gateway, "Transfer-Encoding: chunked", path="/api/v1/auth/token")
    text = text.replace("application/json", "application/x-www-form-urlencoded")
    answer = await raw(gateway, text, [b"7fffffff\r\n", b"a" * ((16 << 10) + 1)])
    assert answer.startswith(b"HTTP/1.1 413 ")


async def test_a_chunked_body_of_a_mebibyte_is_read(gateway):
    text = head(gateway, "Transfer-Encoding: chunked", "Connection: close", token=gateway.token())
    answer = await raw(gateway, text, [b"100000\r\n", b" " * (1 << 20), b"\r\n0\r\n\r\n"])
    assert answer.startswith(b"HTTP/1.1 422 "), "its body is blank"


@pytest.mark.parametrize("method", ["GET", "PROPFIND"])
@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_that_no_route_takes_is_not_kept(gateway, method, chunked):
    length = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {1 << 20}"
    text = f"{method} /api/v1/esp/devices HTTP/1.1\r\nHost: x\r\n{length}\r\n\r\n"
    answer = await raw(gateway, text, [b"%x\r\n" % (1 << 19), b"a" * (1 << 19)] if chunked else [b"a" * (1 << 19)])
    assert answer == b"" or answer.startswith(b"HTTP/1.1 413 ")  # empty: reset while the client was sending


async def test_bodies_that_a_user_leaves_unfinished_have_a_bound_together(gateway):
    before = memory_mb(gateway.process.pid, "VmHWM")
    text = head(gateway, f"Content-Length: {1 << 20}", token=gateway.token(user="bea"))
    opened = [await asyncio.open_connection("127.0.0.1", gateway.port) for _ in range(60)]
    answers = [asyncio.create_task(reader.read()) for reader, _ in opened]
    for _, writer in opened:
        writer.write(text.encode() + b" " * ((1 << 20) - 1))
    pending = set(answers)
    async with asyncio.timeout(90):
        while len(pending) > 20:
            _, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
    assert memory_mb(gateway.process.pid, "VmHWM") < before + 60
    for _, writer in opened:
        writer.close()
    found = [each for each in await asyncio.gather(*answers, return_exceptions=True) if isinstance(each, bytes)]
    assert {each[:13] for each in found} <= {b"", b"HTTP/1.1 429 "}


@pytest.mark.parametrize("one", [True, False], ids=["one", "many"])
async def test_trailers_without_end_are_cut_off_and_not_kept(gateway, one):
    before = memory_mb(gateway.process.pid, "VmHWM")
    form = b"username=a&password=b"
    text = head(gateway, "Transfer-Encoding: chunked", path="/api/v1/auth/token")
    text = text.replace("application/json", "application/x-www-form-urlencoded")
    trailers = [b"a:b\r\n" * 20_000] * 400 if not one else [b"a: ", *[b"b" * 100_000] * 400]
    answer = await raw(gateway, text, [b"%x\r\n%b\r\n0\r\n" % (len(form), form), *trailers])
    assert answer == b"" or answer.startswith(b"HTTP/1.1 431 ")
    assert memory_mb(gateway.process.pid, "VmHWM") < before + 20


async def test_requests_that_wait_behind_one_another_on_a_connection_have_a_bound(gateway):
    async def flood() -> int:
        answer = await raw(gateway, "", [b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" * 7_000])
        return answer.count(b"HTTP/1.1 200 ")

    before = memory_mb(gateway.process.pid, "VmHWM")
    assert max(await asyncio.gather(*(flood() for _ in range(60)))) <= 10
    assert memory_mb(gateway.process.pid, "VmHWM") < before + 60


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\0\0",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n" + b"a" * 500_000,
    ],
    ids=["no HTTP", "unknown upgrade"],
)
async def test_bytes_that_are_no_request_do_not_fill_the_log(start_gateway, tmp_path, sent):
    gateway = start_gateway(tmp_path / "log")
    before = (tmp_path / "log").stat().st_size
    await asyncio.gather(*(raw(gateway, "", [sent]) for _ in range(100)))
    assert (tmp_path / "log").stat().st_size < before + 10_000


async def test_some_requests_behind_one_another_are_answered_in_order(gateway):
    asked = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" * 7
    last = b"GET /nowhere HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    answer = await raw(gateway, "", [asked + last])
    assert re.findall(rb"HTTP/1.1 (\d+) ", answer) == [b"200"] * 7 + [b"404"]


@pytest.mark.parametrize("sent", [b"\x89\x80\0\0\0\0", b"\x00\x80\0\0\0\0"], ids=["pings", "fragments"])
@pytest.mark.parametrize("token", [None, ""], ids=["viewer", "nobody"])
async def test_a_socket_that_floods_pings_or_empty_fragments_is_closed(gateway, sent, token):
    url = gateway.url("flood", token).replace("ws://", "")
    address, _, path = url.partition("/")
    begin = b"\x01\x80\0\0\0\0" if sent[0] == 0 else b""
    text = (
        f"GET /{path} HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(text.encode())
    await reader.readuntil(b"\r\n\r\n")
    writer.write(begin)

    async def flood() -> None:
        while True:
            writer.write(sent * 500)
            await writer.drain()
            await asyncio.sleep(0.01)

    flooding = asyncio.create_task(flood())
    said = b""
    async with asyncio.timeout(60):
        try:
            while part := await reader.read(65_536):
                said = (said + part)[-200:]
        except ConnectionError:
            pass
    flooding.cancel()
    await asyncio.gather(flooding, return_exceptions=True)
    writer.close()
    assert token == "" or b"too many pings or fragments" in said


async def test_a_sign_in_has_16_kib(gateway):
    async with gateway.http(None) as http:
        answer = await http.post("/api/v1/auth/token", data={"username": "a", "password": "x" * 20_000})
    assert answer.status_code == 413


async def test_a_chunked_body_within_the_limit_is_taken(gateway):
    async with gateway.http("admin") as http:

        async def parts():
            for part in (b'{"role":"viewer",', b'"password":"a long sentence"}'):
                yield part

        answer = await http.put(
            "/api/v1/auth/users/chunked", content=parts(), headers={"Content-Type": "application/json"}
        )
    assert answer.status_code == 200


async def test_a_mebibyte_of_nested_lists_is_no_server_error(gateway):
    async with gateway.http() as http:
        for body in (b"[" * 1_000_000, b"1" * 1_000_000, b'{"a":' * 100_000):
            answer = await http.post(STOP, content=body, headers={"Content-Type": "application/json"})
            assert 400 <= answer.status_code < 500, answer.text[:200]


@pytest.fixture(scope="module")
def hurried(start_gateway):
    return start_gateway(
        KAISER_HTTP_HEADER_S="1", KAISER_HTTP_BODY_S="1", KAISER_HTTP_PER_ADDRESS="50", KAISER_WS_PER_USER="3"
    )


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHost: x\r\nX-A: "])
async def test_silent_and_half_open_connections_are_closed(hurried, sent):
    opened = [await asyncio.open_connection("127.0.0.1", hurried.port) for _ in range(30)]
    for _, writer in opened:
        writer.write(sent)
    async with asyncio.timeout(60):
        assert [await reader.read() for reader, _ in opened] == [b""] * 30
    for _, writer in opened:
        writer.close()
    assert GatewaySettings().http_header_s <= 30


async def test_headers_that_come_a_byte_at_a_time_are_cut_off(hurried):
    reader, writer = await asyncio.open_connection("127.0.0.1", hurried.port)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nX-A: ")

    async def drip() -> None:
        while True:
            writer.write(b"a")
            await writer.drain()
            await asyncio.sleep(0.05)

    dripping = asyncio.create_task(drip())
    async with asyncio.timeout(60):
        assert await reader.read() == b""
    dripping.cancel()
    await asyncio.gather(dripping, return_exceptions=True)
    writer.close()


async def test_a_second_request_on_a_connection_has_the_same_limits(hurried):
    reader, writer = await asyncio.open_connection("127.0.0.1", hurried.port)
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    await reader.readuntil(b"}")
    writer.write(b"GET /healthz HTTP/1.1\r\nX-A: ")
    async with asyncio.timeout(60):
        assert await reader.read() == b""
    writer.close()


async def test_empty_lines_behind_a_request_keep_no_connection(hurried):
    reader, writer = await asyncio.open_connection("127.0.0.1", hurried.port)
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    await reader.readuntil(b"}")

    async def drip() -> None:
        while True:
            writer.write(b"\r\n")
            await writer.drain()
            await asyncio.sleep(0.05)

    dripping = asyncio.create_task(drip())
    async with asyncio.timeout(60):
        assert await reader.read() == b""
    dripping.cancel()
    await asyncio.gather(dripping, return_exceptions=True)
    writer.close()


async def test_a_body_that_does_not_come_is_408(hurried):
    answer = await raw(hurried, head(hurried, "Content-Length: 100", token=hurried.token()), [b"{"])
    assert answer.startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param([f"X-{n}: {'a' * 1000}" for n in range(400)], id="many"),
        pytest.param([f"X-A: {'a' * 200_000}"], id="one"),
    ],
)
async def test_headers_over_64_kib_are_431(gateway, headers):
    answer = await raw(gateway, "GET /healthz HTTP/1.1\r\nHost: x\r\n" + "\r\n".join(headers) + "\r\n\r\n")
    assert answer == b"" or answer.startswith(b"HTTP/1.1 431 ")


async def test_a_path_over_64_kib_is_refused(gateway):
    answer = await raw(gateway, f"GET /{'a' * 100_000} HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer == b"" or answer.startswith(b"HTTP/1.1 431 ")


async def test_an_address_has_its_number_of_connections_and_gets_them_back(hurried):
    async def taken() -> int:
        opened = [await asyncio.open_connection("127.0.0.1", hurried.port) for _ in range(60)]
        answers = [asyncio.create_task(reader.read(100)) for reader, _ in opened]
        async with asyncio.timeout(60):
            found = await asyncio.gather(*answers)
        for _, writer in opened:
            writer.close()
        return sum(answer.startswith(b"HTTP/1.1 429 ") for answer in found)

    assert await taken() >= 10
    async with hurried.http(None) as http:
        assert (await http.get("/healthz")).status_code == 200


async def test_a_user_has_three_sockets_there_and_a_newer_one_takes_its_own_place(hurried, settled):
    sockets = [await hurried.connect(f"c{number}") for number in range(3)]
    for socket in sockets:
        await settled(socket)
    async with hurried.connect("c3") as fourth:
        await fourth.wait_closed()
    assert fourth.close_code == 1013
    async with hurried.connect("c2") as again, hurried.connect("c0", hurried.token(user="bea")) as of_another:
        await settled(again)
        await settled(of_another)
    for socket in sockets:
        await socket.close()


async def test_a_flood_of_filters_is_heard_ten_times_a_second(start_gateway):
    gateway = start_gateway(KAISER_WS_MESSAGES="10")
    subscribe = json.dumps({"action": "subscribe", "filters": {"esp_ids": [f"ESP_{n}" for n in range(1000)]}})
    async with gateway.connect("flood", max_queue=None) as websocket:
        loop = asyncio.get_running_loop()
        started = loop.time()
        for _ in range(60):
            await websocket.send(subscribe)
        answers = 0
        while answers < 40:
            answers += json.loads(await websocket.recv())["type"] == "subscribed"
        assert loop.time() - started >= 1.5  # 20 at once, then 10 a second


async def test_metrics_are_on_the_internal_port_alone(gateway):
    async with gateway.http() as http:
        assert (await http.get("/metrics")).status_code == 404
        internal = await http.get(f"{gateway.internal}/metrics")
    assert "kaiser_gateway_clients" in internal.text


async def test_the_page_of_the_api_runs_its_own_script_and_is_not_framed(gateway):
    async with gateway.http(None) as http:
        answer = await http.get("/api/docs")
    policy = answer.headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in policy
    assert "'sha256-" in policy
    assert "unsafe-eval" not in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def guesses(gateway, source: str | None, forwarded: str, count: int, name: str) -> list[int]:
    transport = httpx.HTTPTransport(local_address=source) if source else None
    with httpx.Client(base_url=gateway.base, transport=transport, timeout=60) as http:
        return [
            http.post(
                "/api/v1/auth/token",
                data={"username": name, "password": f"wrong{number}"},
                headers={"X-Forwarded-For": forwarded.format(number)},
            ).status_code
            for number in range(count)
        ]


def test_forwarded_for_is_not_believed_by_default(start_gateway):
    gateway = start_gateway()
    gateway.wait_for_sign_in()
    found = guesses(gateway, None, "203.0.113.{}", 14, "vic")
    assert found[:2] == [401, 401]
    assert 429 in found[10:]  # one more is allowed every 6 s


def test_a_spray_over_names_from_one_address_is_limited(start_gateway):
    gateway = start_gateway(KAISER_LOGIN_PER_ADDRESS="2")  # a minute: sixty take more than one on a slow machine
    gateway.wait_for_sign_in()
    with httpx.Client(base_url=gateway.base, timeout=60) as http:
        found = [
            http.post("/api/v1/auth/token", data={"username": f"user{n}", "password": "Sommer2026!"}).status_code
            for n in range(60)
        ]
    assert found[:2] == [401, 401]
    assert found.count(429) >= 20


def test_behind_a_trusted_proxy_a_guesser_locks_out_nobody_else(start_gateway):
    gateway = start_gateway(KAISER_TRUSTED_PROXIES="127.0.0.2, 10.0.0.0/8", KAISER_LOGIN_PER_MINUTE="1")
    gateway.wait_for_sign_in()
    assert guesses(gateway, "127.0.0.2", "203.0.113.9", 2, "admin") == [401, 429]
    with httpx.Client(
        base_url=gateway.base, transport=httpx.HTTPTransport(local_address="127.0.0.2"), timeout=60
    ) as http:
        held_up = http.post(
            "/api/v1/auth/token",
            data={"username": "admin", "password": "correct horse"},
            headers={"X-Forwarded-For": "203.0.113.9"},
        )
    assert re.fullmatch(r"too many failed sign-ins: try again in \d+ s", held_up.json()["detail"])
    with httpx.Client(
        base_url=gateway.base, transport=httpx.HTTPTransport(local_address="127.0.0.2"), timeout=60
    ) as http:
        answer = http.post(
            "/api/v1/auth/token",
            data={"username": "admin", "password": "correct horse"},
            headers={"X-Forwarded-For": "198.51.100.7"},
        )
    assert answer.status_code == 200


async def test_forty_sign_ins_at_once_cost_two_hashes_of_memory_and_hold_up_no_known_user(start_gateway):
    gateway = start_gateway()
    gateway.wait_for_sign_in()
    right = {"username": "admin", "password": "correct horse"}
    async with gateway.http(None) as http:
        assert (await http.post("/api/v1/auth/token", data=right)).status_code == 200
        before, started = memory_mb(gateway.process.pid), time.monotonic()
        wrong = [http.post("/api/v1/auth/token", data={"username": f"nobody{n}", "password": "x"}) for n in range(40)]
        answers = asyncio.gather(*wrong)
        await asyncio.sleep(0)
        good = await http.post("/api/v1/auth/token", data=right)
        codes = [answer.status_code for answer in await answers]
    assert good.status_code == 200
    assert set(codes) <= {401, 429}
    most = 30 + (time.monotonic() - started) / 2  # an address may try 30 times, and once more every two seconds
    assert codes.count(401) <= most + 1
    assert memory_mb(gateway.process.pid, "VmHWM") < before + 150


def test_an_address_begins_so_many_connections_and_asks_so_often_and_a_proxy_does_as_it_likes():
    connections = Connections(500, ["10.0.0.0/8"], 1.0)
    for address, all_of_them in (("192.0.2.1", False), ("10.0.0.1", True)):
        begun = [connections.may_begin(address) for _ in range(600)]
        asked = [connections.may_ask(address) for _ in range(1500)]
        assert (begun[0], begun[-1], asked[0], asked[-1]) == (True, all_of_them, True, all_of_them)


async def test_a_flood_of_requests_without_a_token_is_429_and_others_are_answered(start_gateway):
    gateway = start_gateway(KAISER_HTTP_PER_ADDRESS="500")

    async def flood() -> bytes:
        return await raw(gateway, "", [b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" * 8])

    answers = b"".join(await asyncio.gather(*(flood() for _ in range(300))))
    assert b"HTTP/1.1 429 " in answers
    async with gateway.http("viewer") as http:
        assert (await http.get("/api/v1/esp/devices")).status_code in (200, 504), "a user with a token goes on"


@pytest.mark.parametrize(
    ("address", "source"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff:ffff:ffff:ffff", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
    ],
)
def test_an_ipv6_host_counts_as_its_network(address, source):
    assert source_of(address) == source


def test_a_network_of_64_bits_has_the_connections_of_one_address():
    connections, ended = Connections(3, ["10.0.0.0/8"], 1.0), []
    for number in range(1, 6):
        source = connections.source(f"2001:db8::{number}")
        connections.places.enter(source, partial(ended.append, number), float(number))
    assert ended == [1, 2]
    assert connections.source("2001:db8:0:1::1") != source
    assert connections.source("10.1.2.3") is None, "a trusted proxy"


def test_the_settings_of_proxies_are_checked():
    assert GatewaySettings(trusted_proxies="10.0.0.0/8,::1").trusted_proxies == ["10.0.0.0/8", "::1"]
    with pytest.raises(ValidationError):
        GatewaySettings(trusted_proxies="proxy.example")


async def test_long_lists_of_a_user_are_asked_for_twenty_at_a_time(gateway, module_bus):
    """NATS would end the gateway's connection if it had 64 MiB of pages waiting for it."""
    client = await nats.connect(module_bus)
    waiting, most = [], 0

    async def hold(message) -> None:
        nonlocal most
        waiting.append(message)
        most = max(most, len(waiting))

    await client.subscribe("rpc.actuator.list", cb=hold)
    await client.flush()
    try:
        async with gateway.http("viewer") as http:
            asked = [asyncio.create_task(http.get("/api/v1/actuators", params={"esp_id": "ESP_A"})) for _ in range(60)]
            while asked:
                async with asyncio.timeout(60):
                    while len(waiting) < min(20, len(asked)):  # noqa: ASYNC110
                        await asyncio.sleep(0.01)
                answered = len(waiting)
                while waiting:  # all of them, before the first has waited too long on a slow machine
                    await waiting.pop().respond(b'{"items":[],"next_cursor":null}')
                while answered > 0:
                    done, left = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
                    assert {each.result().status_code for each in done} == {200}
                    asked, answered = [*left], answered - len(done)
    finally:
        await client.close()
    assert most == 20


def socket_of_few_bytes() -> sockets.socket:
    """Of whose data the kernel keeps little for it."""
    end = sockets.socket()
    end.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4096)
    end.setblocking(False)
    return end


async def test_lists_that_a_user_does_not_read_cost_little_memory_and_hold_up_nobody_else(gateway, module_bus):
    """A hundred connections ask for pages of 800 kB, two each, and read nothing: that would be 160 MB."""
    page = b'{"items":[],"next_cursor":"' + b"x" * 800_000 + b'"}'
    client = await nats.connect(module_bus)
    loop, ends = asyncio.get_running_loop(), []

    async def answer(message) -> None:
        await message.respond(page)

    await client.subscribe("rpc.actuator.list", cb=answer)
    await client.flush()
    before = memory_mb(gateway.process.pid)
    lines = ["GET /api/v1/actuators HTTP/1.1", "Host: x", f"Authorization: Bearer {gateway.token(user='bea')}"]
    try:
        for _ in range(100):
            ends.append(end := socket_of_few_bytes())
            await loop.sock_connect(end, ("127.0.0.1", gateway.port))
            await loop.sock_sendall(end, ("\r\n".join(lines) + "\r\n\r\n").encode() * 2)
        async with gateway.http() as http:
            for _ in range(20):
                assert (await http.get("/api/v1/actuators")).status_code == 200
        assert memory_mb(gateway.process.pid) < before + 80
    finally:
        for end in ends:
            end.close()
        await client.close()


def test_what_is_unread_is_counted_by_address_and_let_go():
    connections = Connections(500, ["10.0.0.0/8"], 10.0)
    mib = 1024 * 1024
    assert connections.hold("192.0.2.1", 32 * mib)
    assert not connections.hold("192.0.2.1", 1)
    assert connections.hold("10.1.1.1", 90 * mib), "a trusted proxy has many clients behind it"
    assert not connections.hold("192.0.2.2", 6 * mib), "all together"
    connections.let_go("10.1.1.1", 90 * mib)
    assert connections.hold("192.0.2.3", 6 * mib)
