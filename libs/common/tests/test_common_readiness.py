"""How often /readyz asks the dependencies of a service, however many ask it."""

import asyncio

import httpx
import pytest
from kaiser_common.runtime.service import Service, internal_app


class Dependency:
    """Answers once it may; counts how often it is asked, and how often at the same time."""

    def __init__(self) -> None:
        self.may, self.is_asked = asyncio.Event(), asyncio.Event()
        self.asked = self.under_way = self.most_under_way = 0
        self.is_away = False

    async def ping(self) -> None:
        self.asked += 1
        self.is_asked.set()
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        was_away = self.is_away
        try:
            await self.may.wait()
        finally:
            self.under_way -= 1
        if was_away:
            raise ConnectionError("no database")


@pytest.fixture
async def asking():
    """The dependency, and a client of the internal port of its service."""
    service, database = Service("some"), Dependency()
    service.check("database", database.ping)
    transport = httpx.ASGITransport(internal_app(service))
    async with httpx.AsyncClient(transport=transport, base_url="http://test", timeout=60) as client:
        yield database, client


async def test_a_flood_of_readyz_asks_the_database_once_at_a_time(asking):
    database, client = asking
    asks = [asyncio.create_task(client.get("/readyz")) for _ in range(300)]
    async with asyncio.timeout(60):
        await database.is_asked.wait()
        database.may.set()
        answers = await asyncio.gather(*asks)
    assert {answer.status_code for answer in answers} == {200}
    assert database.most_under_way == 1
    assert database.asked <= 2, "those that waited share the next look"


async def test_readyz_never_says_what_was_before_it_was_asked(asking):
    database, client = asking
    database.may.set()
    for is_away, status in ((False, 200), (True, 503), (False, 200)):
        database.is_away = is_away
        assert (await client.get("/readyz")).status_code == status


async def test_a_look_that_began_before_a_question_does_not_answer_it(asking):
    database, client = asking
    first = asyncio.create_task(client.get("/readyz"))
    async with asyncio.timeout(60):
        await database.is_asked.wait()
        second = asyncio.create_task(client.get("/readyz"))
        database.is_away = True
        database.may.set()
        assert [(await each).status_code for each in (first, second)] == [200, 503]
