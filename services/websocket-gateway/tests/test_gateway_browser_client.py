"""The client of docs/protocol.md, run as it stands there."""

import asyncio
import re
from pathlib import Path

import pytest
from browser import program
from playwright.async_api import async_playwright

PAGE = Path(__file__).parents[3] / "docs" / "protocol.md"


def client_of_the_page() -> str:
    [code] = re.findall(r"```js\n(.*?)```", PAGE.read_text(), re.DOTALL)
    return code


@pytest.fixture
async def page(missing):
    """A page in a real browser."""
    path = program()
    if path is None:
        missing("chromium", "chromium is not installed")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield await browser.new_page()
        await browser.close()


def test_the_client_has_twenty_odd_lines():
    assert len(client_of_the_page().splitlines()) <= 24


async def test_the_client_loses_nothing_over_a_restart_of_the_gateway(gateway, events, page):
    url = f"ws://127.0.0.1:{gateway.port}/api/v1/ws/realtime/doc?rate=1000"

    async def seen() -> list[int]:
        return await page.evaluate("seen")

    async def until_seen(seq: int) -> None:
        await page.wait_for_function("(seq) => seen.includes(seq)", arg=seq, timeout=60_000)

    await page.goto(f"{gateway.base}/healthz")
    await page.add_script_tag(content=f"{client_of_the_page()}; const seen = [];")
    await page.evaluate(
        "([url, token]) => follow(url, async () => token, (frame) => seen.push(frame.seq))", [url, gateway.token()]
    )
    async with asyncio.timeout(60):
        while not await seen():  # until it is connected
            await events.publish()
            await asyncio.sleep(0.1)
    first = await events.publish()
    await until_seen(first)
    assert await asyncio.to_thread(gateway.stop) == 0
    missed = [await events.publish(value=float(number)) for number in range(50)]
    await asyncio.to_thread(gateway.start)
    live = await events.publish()
    await until_seen(live)
    assert set(missed) <= set(await seen())


async def test_a_browser_sees_the_answers_and_the_close_codes(gateway, page):
    await page.goto(f"{gateway.base}/healthz")
    outcome = """([url, said]) => new Promise((resolve) => {
      const heard = [], socket = new WebSocket(url);
      socket.onopen = () => said.forEach((one) => socket.send(one));
      socket.onmessage = ({ data }) => {
        heard.push(JSON.parse(data).type);
        if (heard.at(-1) === "pong") socket.close(1000);
      };
      socket.onclose = ({ code }) => resolve([code, heard.filter((type) => type !== "sensor_data")]);
    })"""
    subscribe = '{"action":"subscribe","filters":{"types":["esp_health"]}}'
    unsubscribe = '{"action":"unsubscribe","filters":null}'
    ping = '{"action":"ping"}'
    for url, said, code, heard in (
        (gateway.url("b1"), [subscribe, unsubscribe, ping], 1000, ["subscribed", "subscribed", "pong"]),
        (gateway.url("b1"), ["x", "[]", "{}"], 4400, ["error", "error", "error"]),
        (gateway.url("b1", rate="none"), [], 4400, []),
        (gateway.url("b1", "nonsense"), [], 4001, []),
        (gateway.url("b1", gateway.token("nobody")), [], 4003, []),
    ):
        assert await page.evaluate(outcome, [url, said]) == [code, heard]
    pair = """(url) => new Promise((resolve) => {
      const older = new WebSocket(url);
      older.onclose = ({ code }) => resolve(code);
      older.onopen = () => new WebSocket(url);
    })"""
    assert await page.evaluate(pair, gateway.url("same")) == 4009
    going = page.evaluate(outcome, [gateway.url("b2"), [subscribe]])
    waiting = asyncio.create_task(going)
    async with gateway.http() as http:
        for _ in range(400):
            if "kaiser_gateway_clients 2.0" in (await http.get(f"{gateway.internal}/metrics")).text:
                break
            await asyncio.sleep(0.05)
    assert await asyncio.to_thread(gateway.stop) == 0
    assert (await waiting)[0] == 1001
    await asyncio.to_thread(gateway.start)
