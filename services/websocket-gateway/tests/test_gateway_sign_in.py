"""Limits of sign-ins: a right password is never locked out for long, by whatever attack that goes on."""

import asyncio
from collections import Counter
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, closing
from itertools import count

import httpx
import pytest
from fastapi import FastAPI
from kaiser_gateway.api import sign_in
from kaiser_gateway.domain.signing_in import MOST_KNOWN, KnownPlaces, SignInLimits
from kaiser_gateway.domain.tokens import Signer
from kaiser_gateway.http import problems
from kaiser_gateway.settings import GatewaySettings
from kaiser_gateway.store.passwords import Busy, Passwords
from kaiser_gateway.store.users import Account, Users
from psycopg_pool import PoolTimeout
from waiting import until

RIGHT = {"username": "admin", "password": "correct horse"}
TOKEN = "/api/v1/auth/token"


def test_a_user_known_at_an_address_is_not_held_up_by_others_there_or_elsewhere():
    limits = SignInLimits(pair=10, address=30, name=60, known=KnownPlaces())
    assert limits.wait_s("admin", "a", 0.0) == 0.0
    limits.was_right("admin", "a", 0.0)
    for number in range(40):
        limits.wait_s(f"user{number}", "a", 0.0)
    for number in range(100):
        limits.wait_s("admin", f"elsewhere{number}", 0.0)
    assert limits.wait_s("new", "a", 0.0) > 0
    assert limits.wait_s("admin", "another", 0.0) > 0
    assert limits.wait_s("admin", "a", 0.0) == 0.0


def test_a_user_who_signs_in_again_and_again_takes_the_time_of_no_other():
    limits = SignInLimits(pair=10, address=30, name=60, known=KnownPlaces())
    for _ in range(60):
        assert limits.wait_s("vera", "a", 0.0) == 0.0
        limits.was_right("vera", "a", 0.0)
    assert 0 < limits.wait_s("vera", "a", 0.0) <= 1.0
    assert limits.wait_s("vera", "another", 0.0) > 0
    assert limits.wait_s("admin", "a", 0.0) == 0.0
    assert limits.wait_s("vera", "a", 1.1) == 0.0


def test_a_held_up_name_gets_a_try_within_seconds():
    limits = SignInLimits(pair=10, address=30, name=60, known=KnownPlaces())
    while limits.wait_s("admin", "a", 0.0) == 0.0:
        pass
    assert limits.wait_s("admin", "a", 0.0) <= 6.0
    assert limits.wait_s("admin", "a", 6.1) == 0.0


@pytest.mark.parametrize("is_known", [True, False])
def test_a_try_whose_password_was_not_checked_counts_for_no_limit(is_known):
    known = KnownPlaces()
    if is_known:
        known.add(("admin", "a"))
    limits = SignInLimits(pair=10, address=30, name=60, known=known)
    for _ in range(200):
        assert limits.wait_s("admin", "a", 0.0) == 0.0
        limits.was_not_checked("admin", "a")
    tries = [limits.wait_s("admin", "a", 0.0) == 0.0 for _ in range(11)]
    assert tries == [True] * 10 + [False], "and no more than were taken are given back"


@pytest.mark.parametrize("flooded", ["address", "name"])
def test_a_try_that_one_limit_refuses_counts_for_no_other(flooded):
    limits = SignInLimits(pair=10, address=30, name=60, known=KnownPlaces())
    for number in range(100):
        limits.wait_s(*((f"user{number}", "a") if flooded == "address" else ("admin", f"elsewhere{number}")), 0.0)
    assert all(limits.wait_s("admin", "a", 0.0) > 0 for _ in range(50))
    assert limits.wait_s("admin", "a", 2.0) == 0.0, "no longer than the limit that is used up"


def test_a_user_known_from_the_log_is_not_held_up_by_an_attack_that_goes_on():
    """Guesses at the name from two addresses, and a spray at the user's own, each as often as anybody may ask."""
    known = KnownPlaces()
    known.add_earlier([("admin", "office")])
    limits = SignInLimits(pair=10, address=30, name=60, known=known)
    held_up = 0
    for second in range(600):
        for number in range(20):
            limits.wait_s("admin", f"elsewhere{number}", float(second))
            limits.wait_s(f"user{second}-{number}", "office", float(second))
        if second % 10 == 0:
            held_up += limits.wait_s("admin", "office", float(second)) > 0
            limits.was_right("admin", "office", float(second))
    assert held_up == 0


def test_places_of_earlier_sign_ins_come_behind_those_of_this_run_and_have_a_bound():
    known = KnownPlaces()
    known.add(("vic", "here"))
    known.add_earlier([("vic", "here"), ("vic", "newer"), ("vic", "older"), *(("many", str(n)) for n in range(20_000))])
    assert ("many", str(MOST_KNOWN - 4)) in known
    assert ("many", str(MOST_KNOWN - 3)) not in known
    for number in range(MOST_KNOWN - 2):
        known.add(("now", str(number)))
    assert [place in known for place in (("vic", "here"), ("vic", "newer"), ("vic", "older"))] == [True, True, False]


def test_places_are_kept_for_known_users_while_passwords_of_others_wait():
    with closing(Passwords()) as passwords, ExitStack() as taken:
        for known, places in ((False, 12), (True, 4)):
            for _ in range(places):
                taken.enter_context(passwords.place(known=known))
            with pytest.raises(Busy), passwords.place(known=known):
                pass
        taken.close()
        with passwords.place(known=False):
            pass


class HinderedUsers(Users):
    """Users whose passwords cannot be checked now."""

    def __init__(self, error: Exception) -> None:
        super().__init__(None, None)
        self.ready = True
        self._error = error

    async def sign_in(self, username: str, password: str, address: str) -> Account | None:
        raise self._error


@pytest.mark.parametrize(
    ("error", "status", "why"),
    [(Busy("x"), 429, "sign-ins at the same time"), (PoolTimeout("x"), 503, "database")],
)
async def test_tries_that_are_hindered_use_up_no_limit(error, status, why):
    app = FastAPI()
    problems.install(app)
    app.include_router(sign_in.router(HinderedUsers(error), None, Signer("k" * 40), GatewaySettings()))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x") as http:
        answers = [await http.post(TOKEN, data=RIGHT) for _ in range(40)]
    assert {answer.status_code for answer in answers} == {status}
    assert all(why in answer.json()["detail"] for answer in answers)


def client_at(gateway, address: str) -> httpx.AsyncClient:
    transport = httpx.AsyncHTTPTransport(local_address=address)
    return httpx.AsyncClient(base_url=gateway.base, transport=transport, timeout=120)


@asynccontextmanager
async def attack(gateway, addresses: list[str], username: str | None = None):
    """Wrong passwords from these addresses for as long as the block runs, at a name or at ever new ones; it runs once
    each address has been refused by a limit."""
    refused: Counter[str] = Counter()
    numbers = count()

    async def guess(address: str, http: httpx.AsyncClient) -> None:
        while True:
            form = {"username": username or f"nobody{next(numbers)}", "password": "x"}
            if (await http.post(TOKEN, data=form)).status_code == 429:
                refused[address] += 1
                await asyncio.sleep(0.1)  # more often than 200 times a second the edge would refuse, and not the limits

    async def is_refused() -> bool:
        return all(refused[address] for address in addresses)

    async with AsyncExitStack() as stack:
        clients = {address: await stack.enter_async_context(client_at(gateway, address)) for address in addresses}
        async with asyncio.TaskGroup() as tasks:
            guesses = [tasks.create_task(guess(*one)) for one in clients.items() for _ in range(6)]
            await until(is_refused, "the attack is refused")
            yield
            for task in guesses:
                task.cancel()


async def test_a_flood_of_passwords_holds_up_no_known_user_and_takes_no_tries_of_an_unknown_one(start_gateway):
    """Only the two threads limit this flood: it has as many tries as it wants."""
    gateway = start_gateway(KAISER_LOGIN_PER_ADDRESS="1000000", KAISER_LOGIN_PER_NAME="1000000")
    gateway.wait_for_sign_in()
    elsewhere = [f"127.0.0.{number}" for number in range(2, 6)]
    async with client_at(gateway, "127.0.0.1") as known, client_at(gateway, "127.0.0.9") as unknown:
        assert (await known.post(TOKEN, data=RIGHT)).status_code == 200
        async with attack(gateway, elsewhere):
            found = [await known.post(TOKEN, data=RIGHT) for _ in range(12)]
            assert [(one.status_code, one.text) for one in found if one.status_code != 200] == []
            answers = []
            while not answers or (answers[-1].status_code != 200 and len(answers) < 500):
                answers.append(await unknown.post(TOKEN, data=RIGHT))
    assert answers[-1].status_code == 200
    assert all("sign-ins at the same time" in one.json()["detail"] for one in answers[:-1])


async def test_a_known_user_signs_in_under_an_attack_that_goes_on_also_after_a_restart(start_gateway):
    gateway = start_gateway(KAISER_LOGIN_PER_NAME="5", KAISER_LOGIN_PER_ADDRESS="5")
    gateway.wait_for_sign_in()
    async with client_at(gateway, "127.0.0.1") as http:
        assert (await http.post(TOKEN, data=RIGHT)).status_code == 200
    assert gateway.stop() == 0
    gateway.start()
    gateway.wait_for_sign_in()
    at_the_name = attack(gateway, ["127.0.0.2", "127.0.0.3"], "admin")
    async with client_at(gateway, "127.0.0.1") as known, at_the_name, attack(gateway, ["127.0.0.1"]):
        tries = 0
        while (answer := await known.post(TOKEN, data=RIGHT)).status_code != 200 and tries < 20:
            tries += 1  # until the gateway has read its log
            await asyncio.sleep(0.1)
    assert answer.status_code == 200
