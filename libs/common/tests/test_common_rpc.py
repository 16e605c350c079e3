"""Request and reply on a real NATS server."""

import asyncio
import time
from functools import partial
from typing import Any

import pytest
from answering import Method, serve
from kaiser_common.bus import requests
from kaiser_common.bus.connection import connect
from kaiser_common.bus.rpc import Caller, RpcError, call, is_late, not_understood
from kaiser_common.contract.rpc import Nothing, Problem
from kaiser_common.runtime.settings import CommonSettings
from prometheus_client import REGISTRY
from pydantic import BaseModel, Field
from structlog.testing import capture_logs

ADA = Caller(user="ada", role="operator")

ask = partial(call, caller=ADA)


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
    async with serve(bus, "test", methods, unavailable=requests.Outages(others=(OSError,))):
        assert (await ask(bus, "test", "double", Number(n=4), Number)).n == 8
        assert await problem(ask(bus, "test", "double", Number(n=13), Number)) == (409, 5208)
        assert await problem(ask(bus, "test", "double", Number(n=14), Number)) == (503, 5402)
        assert await problem(ask(bus, "test", "double", Number(n=15), Number)) == (500, 5407)
        assert await problem(ask(bus, "test", "double", Nothing(), Number)) == (422, 5205)
        assert await problem(ask(bus, "test", "note", Note(text="a\x00"), Number)) == (422, 5207)
        assert await problem(ask(bus, "test", "note", Note(items=[{"a": {"b\x00": 1}}]), Number)) == (422, 5207)
        assert (await ask(bus, "test", "note", Note(text="a\\u0000"), Number)).n == 1
        assert await problem(ask(bus, "test", "double", Number(n=4), Text)) == (502, 5407)
        assert await problem(ask(bus, "test", "halve", Number(n=1), Number)) == (404, 5407)
        assert (await ask(bus, "test", "double", Number(n=5), Number)).n == 10, "a bug ends no one else's request"
    assert await problem(ask(bus, "test", "double", Number(n=4), Number, timeout_s=1.0)) == (504, 5403)


async def test_what_is_larger_than_the_bus_carries_is_a_clear_refusal_and_the_next_request_is_answered(bus):
    async def repeat(request: Number, caller: Caller) -> Text:
        return Text(text="x" * request.n)

    async def length(request: Text, caller: Caller) -> Number:
        return Number(n=len(request.text))

    methods = {"repeat": Method(Number, repeat), "length": Method(Text, length)}
    most = bus.client.max_payload
    async with serve(bus, "test", methods):
        with pytest.raises(RpcError) as refused:
            await ask(bus, "test", "repeat", Number(n=most), Text)
        assert (refused.value.problem.status, refused.value.problem.field) == (422, "limit")
        assert str(most) in refused.value.problem.detail
        assert await problem(ask(bus, "test", "length", Text(text="x" * most), Number)) == (413, 5207)
        assert (await ask(bus, "test", "length", Text(text="xy"), Number)).n == 2


class Listing(BaseModel):
    limit: int = 100
    cursor: int = 0


class Page(BaseModel):
    items: list[str]
    next_cursor: int | None = None


async def test_a_page_that_the_bus_does_not_carry_comes_as_smaller_ones_that_miss_nothing(bus):
    kept = ["x" * (bus.client.max_payload // 9) + str(number) for number in range(40)]

    async def listed(request: Listing, caller: Caller) -> Page:
        end = request.cursor + request.limit
        return Page(items=kept[request.cursor : end], next_cursor=end if end < len(kept) else None)

    found, cursor, pages = [], 0, 0
    async with serve(bus, "test", {"list": Method(Listing, listed)}):
        while cursor is not None:
            page = await ask(bus, "test", "list", Listing(cursor=cursor), Page)
            found, cursor, pages = found + page.items, page.next_cursor, pages + 1
        assert (found == kept, pages > 4) == (True, True)
        kept.append("x" * bus.client.max_payload)
        assert await problem(ask(bus, "test", "list", Listing(cursor=40), Page)) == (422, 5207)


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
            tasks.create_task(ask(bus, "test", "slow", Nothing(), Nothing))
        await bus.round_trip()
        await bus.round_trip()
        assert await problem(ask(bus, "test", "read", Nothing(), Number)) == (503, 5402)
        assert (await ask(bus, "test", "stop", Nothing(), Number)).n == 1
        release.set()


async def test_a_request_that_comes_after_its_caller_gave_up_is_not_carried_out_but_a_stop_is(bus):
    done: list[int | None] = []

    async def note(request: Nothing, caller: Caller) -> Number:
        done.append(caller.deadline_ms)
        return Number(n=1)

    methods = {"switch": Method(Nothing, note), "stop": Method(Nothing, note)}
    async with serve(bus, "late", methods, always=frozenset({"stop"})):
        await ask(bus, "late", "switch", Nothing(), Number)
        assert len(done) == 1
        assert done[0] is not None
        late = {"Kaiser-Caller": ADA.model_dump_json(), "Kaiser-Deadline": "1000"}
        answer = await bus.client.request("rpc.late.switch", b"{}", timeout=20, headers=late)
        assert Problem.model_validate_json(answer.data).code == 5403
        assert len(done) == 1
        answer = await bus.client.request("rpc.late.stop", b"{}", timeout=20, headers=late)
        assert Number.model_validate_json(answer.data).n == 1
        assert done[1:] == [1000]


async def test_a_request_that_its_owner_gives_up_when_it_stops_is_answered(bus, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(requests, "_END_WITHIN_S", 0.1)
    begun = asyncio.Event()

    async def work(request: Number, caller: Caller) -> Number:
        begun.set()
        await asyncio.Event().wait()
        return request

    async with serve(bus, "test", {"work": Method(Number, work)}):
        asking = asyncio.create_task(ask(bus, "test", "work", Number(n=1), Number, timeout_s=250.0))
        async with asyncio.timeout(60):
            await begun.wait()
    with pytest.raises(RpcError) as refused:
        async with asyncio.timeout(60):
            await asking
    assert (refused.value.problem.status, refused.value.problem.code) == (504, 5403)
    assert "stopped while it was working on work" in refused.value.problem.detail


async def test_the_owner_knows_when_a_request_was_made(bus):
    asked: list[int | None] = []

    async def note(request: Nothing, caller: Caller) -> Number:
        asked.append(caller.asked_ms)
        return Number(n=1)

    async with serve(bus, "times", {"note": Method(Nothing, note)}):
        before = time.time_ns() // 1_000_000
        await ask(bus, "times", "note", Nothing(), Number)
        after = time.time_ns() // 1_000_000
        for word in ("-1", "soon", "9" * 16):
            headers = {"Kaiser-Caller": ADA.model_dump_json(), "Kaiser-Asked": word}
            await bus.client.request("rpc.times.note", b"{}", timeout=20, headers=headers)
    assert asked[0] is not None
    assert before <= asked[0] <= after
    assert asked[1:] == [None, None, None]


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "{",
        "[]",
        "{}",
        '{"user":"ada"}',
        '{"role":"admin"}',
        '{"user":"","role":"admin"}',
        '{"user":1,"role":2}',
    ],
)
async def test_a_request_without_a_caller_is_refused_and_counted_a_stop_too(bus, header):
    done: list[str] = []

    async def note(request: Nothing, caller: Caller) -> Nothing:
        done.append(caller.user)
        return Nothing()

    def refused(method: str) -> float:
        return REGISTRY.get_sample_value("kaiser_rpc_without_caller_total", {"method": method}) or 0.0

    before = {method: refused(method) for method in ("switch", "stop", "unknown")}
    methods = {"switch": Method(Nothing, note), "stop": Method(Nothing, note)}
    headers = None if header is None else {"Kaiser-Caller": header}
    async with serve(bus, "anon", methods, always=frozenset({"stop"})):
        for method in ("switch", "stop", "other"):
            answer = await bus.client.request(f"rpc.anon.{method}", b"{}", timeout=20, headers=headers)
            problem = Problem.model_validate_json(answer.data)
            assert (problem.status, problem.code) == (403, 5408)
        assert done == []
        await ask(bus, "anon", "stop", Nothing(), Nothing)
    assert done == ["ada"]
    assert {method: refused(method) - count for method, count in before.items()} == {
        "switch": 1,
        "stop": 1,
        "unknown": 1,
    }


def test_the_deadline_is_no_part_of_what_owners_write_down():
    assert "deadline_ms" not in ADA.model_copy(update={"deadline_ms": 5}).model_dump()
    assert not is_late(ADA, 10**13)
    assert [is_late(ADA.model_copy(update={"deadline_ms": 5}), now) for now in (4, 5)] == [False, True]


@pytest.mark.parametrize(
    ("role", "allowed"),
    [
        ("viewer", {"read"}),
        ("operator", {"read", "change"}),
        ("admin", {"read", "change", "rule"}),
        ("device", set()),
        ("ADMIN", set()),
    ],
)
async def test_the_owner_refuses_a_caller_whose_role_does_not_suffice(bus, role: str, allowed: set[str]):
    done: list[str] = []

    def method(name: str, least) -> Method:
        async def handler(request: Number, caller: Caller) -> Number:
            done.append(name)
            return request

        return Method(Number, handler, least=least)

    methods = {
        "read": method("read", "viewer"),
        "change": method("change", "operator"),
        "rule": method("rule", "admin"),
    }
    caller = Caller(user="eve", role=role)
    async with serve(bus, "test", methods, always=frozenset(methods)):
        for name in methods:
            asked = call(bus, "test", name, Number(n=1), Number, caller=caller)
            if name in allowed:
                await asked
            else:
                assert await problem(asked) == (403, 5405)
    assert set(done) == allowed


async def test_no_other_request_takes_a_step_while_one_with_the_right_of_way_is_answered(bus):
    steps, seen = 0, []

    async def busy(request: Number, caller: Caller) -> Number:
        nonlocal steps
        for _ in range(request.n):
            steps += 1
            await asyncio.sleep(0)
        return request

    async def stop(request: Number, caller: Caller) -> Number:
        for _ in range(20):
            seen.append(steps)
            await asyncio.sleep(0)
        return request

    methods = {"busy": Method(Number, busy), "stop": Method(Number, stop)}
    async with serve(bus, "test", methods, always=frozenset({"stop"})), asyncio.TaskGroup() as tasks:
        others = [tasks.create_task(ask(bus, "test", "busy", Number(n=3_000), Number)) for _ in range(30)]
        while steps < 100:  # noqa: ASYNC110
            await asyncio.sleep(0)
        await ask(bus, "test", "stop", Number(n=1), Number)
        assert not all(other.done() for other in others)
    assert len(set(seen)) == 1, "each of thirty requests took twenty steps meanwhile"
    assert [other.result().n for other in others] == [3_000] * 30


def test_the_log_says_which_service_and_method_sent_an_answer_that_cannot_be_read():
    """Not as `service`, in whose place each line names the process that writes it."""
    with capture_logs() as lines:
        error = not_understood("sensor", "data", ValueError("no page"))
    assert (error.problem.status, error.problem.code) == (502, 5407)
    [line] = lines
    assert (line["asked"], line["method"], line["error"]) == ("sensor", "data", "no page")
    assert "service" not in line
