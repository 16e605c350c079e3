"""A lock that is held after others, with a limit on the wait."""

import asyncio

import pytest
from kaiser_common.bus.rpc import RpcError
from kaiser_common.bus.turns import held, turn_of


async def test_a_request_that_waits_too_long_for_its_turn_is_refused_with_the_reason():
    lock = asyncio.Lock()
    async with turn_of(lock, "many are being read"):
        with pytest.raises(RpcError, match="many are being read: try again") as refused:
            async with turn_of(lock, "many are being read", within_s=0.0):
                pytest.fail("two at once")
        assert (refused.value.problem.status, refused.value.problem.code) == (503, 5402)
        assert lock.locked()
    async with turn_of(lock, "many are being read", within_s=60.0):
        assert lock.locked()
    assert not lock.locked()


async def test_a_job_that_waits_too_long_gets_a_timeout_and_leaves_the_lock_to_its_holder():
    lock = asyncio.Lock()
    async with held(lock, 60.0):
        with pytest.raises(TimeoutError):
            async with held(lock, 0.0):
                pytest.fail("two at once")
        assert lock.locked()
    assert not lock.locked()


@pytest.mark.parametrize("turn", [lambda lock: held(lock, 60.0), lambda lock: turn_of(lock, "busy", 60.0)])
async def test_an_error_of_the_holder_is_its_own_and_frees_the_lock(turn):
    lock = asyncio.Lock()
    with pytest.raises(TimeoutError, match="of the work"):
        async with turn(lock):
            raise TimeoutError("of the work")
    assert not lock.locked()
