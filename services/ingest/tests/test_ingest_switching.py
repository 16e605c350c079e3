"""Switches of the broker one at a time, each with its arming, beside others and beside a disarming."""

import asyncio
from typing import Any

import pytest
from kaiser_common.bus.rpc import Caller, RpcError
from kaiser_common.contract.rpc import Nothing
from kaiser_common.contract.schemas.api.factory import RestartEnvironment
from kaiser_common.contract.schemas.api.system import SwitchProfile
from kaiser_common.contract.schemas.factory import FactoryEnvironment
from kaiser_ingest.api.profiles import ProfilesApi
from kaiser_ingest.mqtt.profiles import Profile

ADMIN = Caller(user="ada", role="admin")


class _Session:
    """Comes up at a broker once `up` is set."""

    def __init__(self, done: list[str]) -> None:
        self.active = "live"
        self.profiles = {name: Profile(host="127.0.0.1", kind="replay") for name in ("live", "one", "two")}
        self.begun = asyncio.Event()
        self.up = asyncio.Event()
        self._done = done

    async def switch(self, name: str) -> None:
        self._done.append(f"switch to {name}")
        self.begun.set()
        await self.up.wait()
        self.active = name

    async def restart(self, name: str) -> None:
        await self.switch(name)


class _Environments:
    """Notes what is armed."""

    def __init__(self, session: _Session, done: list[str]) -> None:
        self._session = session
        self._done = done

    @property
    def current(self) -> FactoryEnvironment:
        return FactoryEnvironment(env=self._session.active, kind="replay", epoch=1, broker="", since=0)

    async def arm(self, *, armed: bool) -> None:
        await asyncio.sleep(0)
        self._done.append(f"{self._session.active} {'armed' if armed else 'disarmed'}")


def _api(waits_s: float) -> tuple[ProfilesApi, _Session, list[str]]:
    done: list[str] = []
    session = _Session(done)
    environments: Any = _Environments(session, done)
    return ProfilesApi(session, environments, waits_s), session, done  # type: ignore[arg-type]


def _to(profile: str, *, armed: bool = False) -> SwitchProfile:
    return SwitchProfile(profile=profile, arm=profile if armed else None)


async def test_a_switch_that_comes_second_arms_nothing_of_the_first() -> None:
    api, session, done = _api(60.0)
    first = asyncio.create_task(api.switch(_to("one", armed=True), ADMIN))
    await session.begun.wait()
    second = asyncio.create_task(api.switch(_to("two"), ADMIN))
    await asyncio.sleep(0)
    session.up.set()
    await asyncio.gather(first, second)
    assert done == ["switch to one", "one armed", "switch to two", "two disarmed"]


async def test_a_switch_beside_a_longer_one_is_refused_and_not_done_later() -> None:
    api, session, done = _api(0.0)
    first = asyncio.create_task(api.switch(_to("one"), ADMIN))
    await session.begun.wait()
    with pytest.raises(RpcError) as refused:
        await api.switch(_to("two"), ADMIN)
    assert (refused.value.problem.status, refused.value.problem.detail) == (
        503,
        "profile two: another switch goes on: try again in a moment",
    )
    session.up.set()
    await first
    assert done == ["switch to one", "one disarmed"]


@pytest.mark.parametrize("how", ["switch", "restart"])
async def test_who_disarms_while_an_environment_is_entered_leaves_it_disarmed(how: str) -> None:
    api, session, done = _api(0.0)
    entering: asyncio.Task[Any]
    if how == "switch":
        entering = asyncio.create_task(api.switch(_to("one", armed=True), ADMIN))
    else:
        entering = asyncio.create_task(api.restart(RestartEnvironment(env="live", epoch=1, arm="live"), ADMIN))
    await session.begun.wait()
    await api.disarm(Nothing(), ADMIN)
    session.up.set()
    await entering
    assert done[-1].endswith(" disarmed")
    assert not [each for each in done if each.endswith(" armed")]
