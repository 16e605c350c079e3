"""Files of recordings through the gateway: in by parts as they come, out by pages; the recorder is a stand-in."""

import asyncio
import base64
import json
import zlib
from collections.abc import AsyncIterator
from contextlib import suppress

import nats
import pytest
from kaiser_gateway.domain.pace import Pace
from waiting import until

RECORDING = {
    "recording_id": "0a1b2c3d0a1b2c3d",
    "name": "x",
    "source": "import",
    "state": "importing",
    "created_at": 1,
    "created_by": "ada",
}
PATH = "/api/v1/recordings/import?filename=session.log&tz=%2B01:00"


class Recorder:
    """Answers as the service does, and keeps what it was asked."""

    def __init__(self, client) -> None:
        self.client = client
        self.file = bytearray()
        self.asked: list[str] = []
        self.begun: dict[str, object] = {}
        self.refuses_part = 0
        self.may_go_on = asyncio.Event()
        """Whether the second part of an export is answered."""
        self.may_go_on.set()

    async def answer(self, message) -> None:
        method, request = message.subject.rpartition(".")[2], json.loads(message.data)
        self.asked.append(method)
        match method:
            case "begin_import":
                self.begun = request
                await message.respond(b'{"import_id": "0123456789abcdef"}')
            case "import_part" if self.asked.count("import_part") == self.refuses_part:
                problem = {"status": 409, "code": 5207, "detail": "recordings are full"}
                await self.client.publish(message.reply, json.dumps(problem).encode(), headers={"Kaiser-Problem": "1"})
            case "import_part":
                assert request["offset"] == len(self.file)
                self.file += base64.b64decode(request["data_base64"])
                await message.respond(b"{}")
            case "end_import":
                await message.respond(json.dumps(RECORDING).encode())
            case "export":
                lines = {0: (b"first\n", 7), 7: (b"second\n", None)}[request["after"]]
                if request["after"]:
                    await self.may_go_on.wait()
                page = {"data_base64": base64.b64encode(zlib.compress(lines[0])).decode(), "next_after": lines[1]}
                await message.respond(json.dumps(page).encode())
            case _:
                await message.respond(b"{}")


@pytest.fixture
async def recorder(module_bus) -> AsyncIterator[Recorder]:
    client = await nats.connect(module_bus)
    recorder = Recorder(client)
    await client.subscribe("rpc.recorder.*", cb=recorder.answer)
    await client.flush()
    yield recorder
    await client.close()


async def test_a_file_larger_than_any_other_body_passes_through_in_parts(gateway, recorder):
    content = bytes(range(256)) * 8200 + b"end"  # 2 MiB: other bodies end at 1 MiB

    async def chunks() -> AsyncIterator[bytes]:
        for at in range(0, len(content), 100_000):
            yield content[at : at + 100_000]

    async with gateway.http("operator") as http:
        answer = await http.post(PATH, content=chunks())
    assert (answer.status_code, answer.json()["state"]) == (202, "importing")
    assert bytes(recorder.file) == content
    assert recorder.asked == ["begin_import", *["import_part"] * 5, "end_import"]
    assert (recorder.begun["filename"], recorder.begun["tz"], recorder.begun["bytes"]) == (
        "session.log",
        "+01:00",
        None,
    )


async def test_a_file_that_is_refused_in_the_middle_is_dropped(gateway, recorder):
    recorder.refuses_part = 2
    async with gateway.http("operator") as http:
        answer = await http.post(PATH, content=b"x" * 1_500_000)
    assert (answer.status_code, answer.json()["code"]) == (409, 5207)
    assert recorder.asked == ["begin_import", "import_part", "import_part", "drop_import"]


async def test_a_file_that_comes_a_byte_at_a_time_is_cut_off_with_its_connection(start_gateway, recorder):
    """It is never silent, and would otherwise hold one of four places for imports as long as it likes."""
    gateway = start_gateway(KAISER_HTTP_BODY_S="1", KAISER_HTTP_FILE_PER_S="1000000")
    head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {gateway.token('operator')}\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(f"{head}Content-Length: 100000\r\n\r\n".encode())

    async def drip() -> None:
        while True:
            writer.write(b"x")
            await asyncio.sleep(0.1)

    dripping = asyncio.create_task(drip())
    try:
        async with asyncio.timeout(60):
            answer = await reader.readuntil(b"bytes a second after 1 s")
            with suppress(ConnectionError):
                while await reader.read(1000):
                    pass
    finally:
        dripping.cancel()
        writer.close()
    assert answer.startswith(b"HTTP/1.1 408 ")
    await until(lambda: "drop_import" in recorder.asked, "the recorder is asked to drop what came of the file")
    assert "end_import" not in recorder.asked


@pytest.mark.parametrize(
    ("received", "waited_s", "left_s"),
    [
        (0, 0.0, 20.0),
        (0, 20.0, 0.0),
        (65_536 * 5, 0.0, 25.0),
        (65_536 * 100, 0.0, 30.0),
        (65_536 * 100, 110.0, 10.0),
        (100, 29.0 * 100, -2880.0),
    ],
)
def test_a_file_has_time_by_what_has_come_of_it(received, waited_s, left_s):
    pace = Pace(least_per_s=65_536, start_s=20.0, silence_s=30.0)
    pace.came(received, waited_s)
    assert pace.left_s() == pytest.approx(left_s, abs=0.01)
    assert ("nothing of the file" in pace.why_late()) == (left_s == 30.0)


async def test_one_byte_over_512_mib_is_refused_before_it_comes(gateway, recorder):
    async with gateway.http("operator") as http:
        address, token = http.base_url, http.headers["Authorization"]
    reader, writer = await asyncio.open_connection(address.host, address.port)
    head = (
        f"POST {PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\nContent-Length: {512 * 1024 * 1024 + 1}\r\n\r\n"
    )
    writer.write(head.encode())
    async with asyncio.timeout(60):
        status = await reader.readline()
    writer.close()
    assert (status.split()[1], recorder.asked) == (b"413", [])


async def test_a_file_without_a_token_or_by_a_viewer_is_refused(gateway, recorder):
    for role, status in ((None, 401), ("viewer", 403)):
        async with gateway.http(role) as http:
            assert (await http.post(PATH, content=b"x")).status_code == status
    assert recorder.asked == []


async def test_a_recording_comes_out_page_by_page(gateway, recorder):
    async with gateway.http("viewer") as http:
        answer = await http.get(f"/api/v1/recordings/{RECORDING['recording_id']}/export")
    assert (answer.status_code, answer.content) == (200, b"first\nsecond\n")
    assert answer.headers["content-disposition"].endswith('.jsonl"')


async def test_the_first_part_of_an_export_is_sent_before_the_next_one_is_read(gateway, recorder):
    """Otherwise the gateway would hold a recording of any size in memory."""
    recorder.may_go_on.clear()
    path = f"/api/v1/recordings/{RECORDING['recording_id']}/export"
    async with asyncio.timeout(60), gateway.http("viewer") as http, http.stream("GET", path) as answer:
        lines = aiter(answer.aiter_lines())
        assert await anext(lines) == "first"
        recorder.may_go_on.set()
        assert [line async for line in lines] == ["second"]


async def test_a_site_without_a_recorder_says_how_to_turn_it_on(gateway):
    async with gateway.http() as http:
        answer = await http.get("/api/v1/recordings")
    assert (answer.status_code, answer.json()["code"]) == (503, 5402)
    assert "KAISER_MQTT_DIALECTS" in answer.json()["detail"]
