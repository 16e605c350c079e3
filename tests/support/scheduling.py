"""Decides which tests run together on one worker (a "line"), and which lines start first.

A worker spends more time waiting (for servers, intervals and time limits) than computing, so a run takes as long as its
longest line. A line is one file, the tests that share a stack, whatever file they are in, or the fault trials with one
broker: a stack takes some seconds to start, and an idle one uses CPU too.
"""

import re

_SYSTEM = "tests/integration/test_system_"
_WITH_A_STACK_OF_ITS_OWN = (
    *(f"console_{name}" for name in ("environments", "factory", "messages", "recordings", "site")),
    *("freeze", "secrets"),
)
"""Files that are of no shared stack, although their names or parameters look like it."""
_STACKS = "the stack "


def line_of(nodeid: str) -> str:
    """The name of a test's line. Those with Mosquitto, and those of the console, are two each: together they would take
    twice as long as any other, and the run would wait for them alone."""
    path, _, name = nodeid.partition("::")
    broker = re.search(r"\[(mosquitto|nats)\b", name)
    if path.startswith("tests/faults/"):  # under load a stack costs half a minute of the processor
        return f"the trials with {broker[1] if broker else 'nats'}"
    subject = path.removeprefix(_SYSTEM)
    if subject == path or subject.startswith(_WITH_A_STACK_OF_ITS_OWN):
        return path
    if subject.startswith("console"):
        return f"{_STACKS}of the console, {'a to k' if subject < 'console_l' else 'l to z'}"
    if not broker:
        return path
    half = "" if broker[1] == "nats" else ", a to l" if subject < "m" else ", m to z"
    return f"{_STACKS}with {broker[1]}{half}"


def is_long(nodeid: str) -> bool:
    """Whether a test's line takes minutes, so it is to begin first."""
    return line_of(nodeid).startswith(_STACKS)
