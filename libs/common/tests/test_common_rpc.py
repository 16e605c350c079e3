"""Request and reply on a real NATS server."""

import asyncio
from typing import Any

import pytest
from kaiser_common.bus import connect
from kaiser_common.rpc import Caller, Method, Nothing, Problem, RpcError, call, is_late, serve
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


async def test_a_request_that_comes_after_its_caller_gave_up_is_not_carried_out_but_a_stop_is(bus):
    done: list[int | None] = []

    async def note(request: Nothing, caller: Caller) -> Number:
        done.append(caller.deadline_ms)
        return Number(n=1)

    methods = {"switch": Method(Nothing, note), "stop": Method(Nothing, note)}
    async with serve(bus, "late", methods, always=frozenset({"stop"})):
        await call(bus, "late", "switch", Nothing(), Number)
        assert len(done) == 1
        assert done[0] is not None
        late = {"Kaiser-Caller": Caller().model_dump_json(), "Kaiser-Deadline": "1000"}
        answer = await bus.client.request("rpc.late.switch", b"{}", timeout=20, headers=late)
        assert Problem.model_validate_json(answer.data).code == 5403
        assert len(done) == 1
        answer = await bus.client.request("rpc.late.stop", b"{}", timeout=20, headers=late)
        assert Number.model_validate_json(answer.data).n == 1
        assert done[1:] == [1000]


def test_the_deadline_is_no_part_of_what_owners_write_down():
    assert "deadline_ms" not in Caller(deadline_ms=5).model_dump()
    assert not is_late(Caller(), 10**13)
    assert [is_late(Caller(deadline_ms=5), now) for now in (4, 5)] == [False, True]
