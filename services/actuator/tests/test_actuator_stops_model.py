"""Emergency stops under orders of calls that hypothesis chooses, on the model of stops."""

import os
import random

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import invariant, run_state_machine_as_test
from interleaved_stops import StopsModel


@pytest.mark.timeout(1200)  # a minute and a half on a core of its own
def test_a_stop_holds_under_every_interleaving(quiet):
    """At least 10,000 steps, which are counted, the same ones each time; with KAISER_TEST_LONG=1 others each time."""
    steps = 0

    class Counted(StopsModel):
        @invariant()
        def is_counted(self) -> None:
            nonlocal steps
            steps += 1

    run_state_machine_as_test(
        Counted,
        settings=settings(
            max_examples=240,  # of up to 50 steps
            stateful_step_count=50,
            deadline=None,
            derandomize="KAISER_TEST_LONG" not in os.environ,
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert steps >= 10_000


@pytest.mark.timeout(1200)  # 5 s on a core of its own; shortening the steps takes hypothesis five minutes at most
def test_stops_hold_under_interleavings_of_this_run_alone(quiet):
    """Others in each run of the tests. A failure prints its steps as they came and the seed; with this seed as
    KAISER_TEST_SEED hypothesis repeats them and looks for fewer."""
    given = os.environ.get("KAISER_TEST_SEED")
    number = int(given or random.randrange(2**32))
    print(f"KAISER_TEST_SEED={number}")

    class Seeded(StopsModel):
        pass

    run_state_machine_as_test(
        seed(number)(Seeded),
        settings=settings(
            max_examples=100,  # of up to 50 steps
            stateful_step_count=50,
            deadline=None,
            derandomize=False,
            database=None,
            phases=[Phase.generate, Phase.shrink] if given else [Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
