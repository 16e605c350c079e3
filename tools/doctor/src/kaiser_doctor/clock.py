"""Clocks: readings carry device times, tokens and leases ours. If the servers' clocks differ, all three go wrong."""

from kaiser_doctor.findings import Finding, green, red, yellow

_NOTICED_S = 1.0
_HARMFUL_S = 5.0


def of_clock(server: str, its_time: float, asked_at: float, answered_at: float) -> list[Finding]:
    """A server's clock against ours, all in seconds since the epoch; what the question took is not held against it."""
    skew_s = max(asked_at - its_time, its_time - answered_at, 0.0)
    text = f"the clock of {server} is {skew_s:.1f} s off ours"
    fix = "have both machines follow NTP (timedatectl)"
    if skew_s > _HARMFUL_S:
        return [red("clock", text, fix)]
    if skew_s > _NOTICED_S:
        return [yellow("clock", text, fix)]
    return [green("clock", f"{server} and this machine agree")]
