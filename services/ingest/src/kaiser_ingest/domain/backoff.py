"""When to connect again: exponential back-off with full jitter, a floor while flapping, a breaker; pure."""

BASE_S = 1.0
STABLE_AFTER_S = 10.0
"""A connection that lasted this long was a good one: its loss is a first failure."""
BREAKER_FAILURES = 10
"""The number of failures in a row that opens the breaker."""


def breaker_is_open(failures: int) -> bool:
    """True once connecting has failed ten times in a row: from then on attempts are longest_s of `wait_s` apart."""
    return failures >= BREAKER_FAILURES


def failures_after_loss(failures: int, lasted_s: float) -> int:
    """Failures in a row after a connection was lost: one that did not last counts on."""
    return 1 if lasted_s >= STABLE_AFTER_S else failures + 1


def wait_s(failures: int, jitter: float, since_attempt_s: float, floor_s: float, longest_s: float) -> float:
    """Seconds to wait before the next attempt: jitter is uniform in 0…1; floor_s lies at least between attempts.

    The back-off grows up to longest_s. Once the breaker is open, longest_s lies between the beginnings of two attempts.
    """
    if breaker_is_open(failures):
        return max(0.0, max(longest_s, floor_s) - since_attempt_s)
    longest: float = min(longest_s, BASE_S * 2.0 ** max(0, failures - 1))
    return max(longest * jitter, floor_s - since_attempt_s, 0.0)
