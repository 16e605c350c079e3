"""Users keep or lose the right of their token as the database's users are read again and again."""

import asyncio

from kaiser_gateway.domain.tokens import Identity
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
