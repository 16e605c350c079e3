"""A benchmark that is ended by SIGTERM ends what it has started."""

import os
import signal

import pytest

from bench.bed import ending_on_sigterm


def test_sigterm_ends_the_body_as_an_exception_and_is_the_callers_again_afterwards() -> None:
    before = signal.getsignal(signal.SIGTERM)
    ended = []
    with pytest.raises(SystemExit) as raised, ending_on_sigterm():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            signal.pause()
        finally:
            ended.append("the stack")
    assert (ended, raised.value.code) == (["the stack"], 128 + signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before
