"""Request and reply on a real NATS server."""

import asyncio
from typing import Any

import pytest
from kaiser_common.bus import connect
from kaiser_common.rpc import Caller, Method, Nothing, RpcError, call, serve
from kaiser_common.settings import CommonSettings
from pydantic import BaseModel, Field


class Number(BaseModel):
    n: int = Field(ge=0)


class Note(BaseModel):
    text: str = ""
    items: list[dict[str, Any]] = []


class Text(BaseModel):
    text: str


@pytest.fixture
async def bus(bus_settings):
    async with connect(CommonSettings(nats_url=bus_settings.nats_address), "test") as bus:
        yield bus


async def problem(awaitable) -> tuple[int, int]:
    with pytest.raises(RpcError) as refused:
        await awaitable
    return refused.value.problem.status, refused.value.problem.code


async def test_an_answer_and_each_kind_of_refusal(bus):
    async def double(request: Number, caller: Caller) -> Number:
        if request.n == 13:
            raise RpcError(409, 5208, "13 is taken", "n")
        if request.n == 14:
            raise OSError("away")
        if request.n == 15:
            raise KeyError("a bug")
        return Number(n=2 * request.n)

    async def note(request: Note, caller: Caller) -> Number:
        return Number(n=1)

    methods = {"double": Method(Number, double), "note": Method(Note, note)}
    async with serve(bus, "test", methods, unavailable=(OSError,)):
        assert (await call(bus, "test", "double", Number(n=4), Number)).n == 8
        assert await problem(call(bus, "test", "double", Number(n=13), Number)) == (409, 5208)
        assert await problem(call(bus, "test", "double", Number(n=14), Number)) == (503, 5402)
        assert await problem(call(bus, "test", "double", Number(n=15), Number)) == (500, 5407)
        assert await problem(call(bus, "test", "double", Nothing(), Number)) == (422, 5205)
        assert await problem(call(bus, "test", "note", Note(text="a\x00"), Number)) == (422, 5207)
        assert await problem(call(bus, "test", "note", Note(items=[{"a": {"b\x00": 1}}]), Number)) == (422, 5207)
        assert (await call(bus, "test", "note", Note(text="a\\u0000"), Number)).n == 1
        assert await problem(call(bus, "test", "double", Number(n=4), Text)) == (502, 5407)
        assert await problem(call(bus, "test", "halve", Number(n=1), Number)) == (404, 5407)
        assert (await call(bus, "test", "double", Number(n=5), Number)).n == 10, "a bug ends no one else's request"
    assert await problem(call(bus, "test", "double", Number(n=4), Number, timeout_s=1.0)) == (504, 5403)


async def test_what_is_larger_than_the_bus_carries_is_a_clear_refusal_and_the_next_request_is_answered(bus):
    async def repeat(request: Number, caller: Caller) -> Text:
        return Text(text="x" * request.n)

    async def length(request: Text, caller: Caller) -> Number:
        return Number(n=len(request.text))

    methods = {"repeat": Method(Number, repeat), "length": Method(Text, length)}
    most = bus.client.max_payload
    async with serve(bus, "test", methods):
        with pytest.raises(RpcError) as refused:
            await call(bus, "test", "repeat", Number(n=most), Text)
        assert (refused.value.problem.status, refused.value.problem.field) == (422, "limit")
        assert str(most) in refused.value.problem.detail
        assert await problem(call(bus, "test", "length", Text(text="x" * most), Number)) == (413, 5207)
        assert (await call(bus, "test", "length", Text(text="xy"), Number)).n == 2


async def test_a_flood_is_refused_at_once_and_holds_up_no_emergency(bus):
    release = asyncio.Event()

    async def slow(request: Nothing, caller: Caller) -> Nothing:
        await release.wait()
        return Nothing()

    async def stop(request: Nothing, caller: Caller) -> Number:
        return Number(n=1)

    methods = {"slow": Method(Nothing, slow), "stop": Method(Nothing, stop), "read": Method(Nothing, stop)}
    async with serve(bus, "test", methods, always=frozenset({"stop"})), asyncio.TaskGroup() as tasks:
        for _ in range(64):
            tasks.create_task(call(bus, "test", "slow", Nothing(), Nothing))
        await bus.round_trip()
        await bus.round_trip()
        assert await problem(call(bus, "test", "read", Nothing(), Number)) == (503, 5402)
        assert (await call(bus, "test", "stop", Nothing(), Number)).n == 1
        release.set()
