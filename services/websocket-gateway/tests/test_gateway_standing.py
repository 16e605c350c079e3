"""Users keep or lose the right of their token as the database's users are read again and again."""

import asyncio

import pytest
from kaiser_common.bus.rpc import RpcError
from kaiser_gateway.domain.tokens import Identity, TokenRefused
from kaiser_gateway.store import standing
from kaiser_gateway.store.standing import Standings
from kaiser_gateway.store.users import Account
from waiting import until


class Table:
    """The users of a database whose answers take as long as the test says."""

    def __init__(self) -> None:
        self.accounts = [Account("ada", "admin", 1)]
        self.asked: list[asyncio.Event] = []

    async def all(self) -> list[Account]:
        found, may_answer = list(self.accounts), asyncio.Event()
        self.asked.append(may_answer)
        await may_answer.wait()
        return found


class NoneEnded:
    async def ended(self) -> frozenset[str]:
        return frozenset()


async def test_an_answer_of_before_does_not_hide_a_user_who_was_just_made():
    table = Table()
    standings = Standings(table, NoneEnded())  # type: ignore[arg-type]
    before = asyncio.create_task(standings.read())
    await until(lambda: bool(table.asked), "the first read has asked")
    table.accounts.append(Account("bob", "viewer", 2))
    after = asyncio.create_task(standings.read())
    for number in range(2):
        for _ in range(5):
            await asyncio.sleep(0)
        for may_answer in reversed(table.asked):
            may_answer.set()
            await asyncio.sleep(0)
        await until([before, after][number].done, "it has its answer")
    assert standings.ended(Identity("bob", "viewer", 0.0, generation=2)) is None


async def test_a_user_who_was_just_made_at_another_gateway_is_known_at_once_and_a_removed_one_reads_nothing():
    table = Table()
    standings = Standings(table, NoneEnded())  # type: ignore[arg-type]
    first = asyncio.create_task(standings.read())
    await until(lambda: len(table.asked) == 1, "the first read has asked")
    table.asked[0].set()
    await first
    with pytest.raises(TokenRefused, match="there is no longer a user eve"):
        await standings.require_current(Identity("eve", "viewer", 0.0, generation=1))
    assert len(table.asked) == 1
    table.accounts.append(Account("bob", "viewer", 2))
    bob = Identity("bob", "viewer", 0.0, generation=2)
    asking = [asyncio.create_task(standings.require_current(bob)) for _ in range(10)]
    await until(lambda: len(table.asked) == 2, "the users are read at once")
    table.asked[1].set()
    async with asyncio.timeout(60):
        await asyncio.gather(*asking)
    assert len(table.asked) == 2, "once for all who ask"
    gone = Identity("eve", "viewer", 0.0, generation=3)
    asking = [asyncio.create_task(standings.require_current(gone)) for _ in range(10)]
    await until(lambda: len(table.asked) == 3, "a user of a later generation may have been made")
    table.asked[2].set()
    async with asyncio.timeout(60):
        refused = await asyncio.gather(*asking, return_exceptions=True)
    assert {type(each) for each in refused} == {TokenRefused}
    assert len(table.asked) == 3, "once for a generation"


async def test_a_user_who_is_not_known_yet_is_refused_after_a_second_where_the_database_hangs(monkeypatch):
    table = Table()
    monkeypatch.setattr(standing, "_AT_ONCE_S", 0.01)
    standings = Standings(table, NoneEnded())  # type: ignore[arg-type]
    first = asyncio.create_task(standings.read())
    await until(lambda: len(table.asked) == 1, "the first read has asked")
    table.asked[0].set()
    await first
    async with asyncio.timeout(60):
        with pytest.raises(TokenRefused, match="there is no longer a user bob"):
            await standings.require_current(Identity("bob", "viewer", 0.0, generation=2))


async def test_an_administrator_waits_a_limited_time_for_others_who_read_the_users():
    table, ada = Table(), Identity("ada", "admin", 0.0, generation=1)
    standings = Standings(table, NoneEnded(), waits_s=0.0)  # type: ignore[arg-type]
    reading = asyncio.create_task(standings.read())
    await until(lambda: bool(table.asked), "the first read has asked")
    async with asyncio.timeout(60):
        with pytest.raises(RpcError, match="the users are being read") as refused:
            await standings.require_fresh(ada)
        assert (refused.value.problem.status, refused.value.problem.code) == (503, 5402)
        table.asked[0].set()
        await reading
        await standings.require_fresh(ada)
