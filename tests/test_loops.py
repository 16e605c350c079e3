"""Services share their loops (kaiser_common.runtime.loops): what repeats is `every`, what is tried again `until_done`.

A loop that sleeps stands in a service only where its pause follows from something else; here is the list, with why.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAUSES = {"asyncio.sleep", "set_within"}

OWN = {
    "actuator/api/emergencies.py": "waits for an effect, within a time",
    "actuator/jobs/sweep.py": "a device that comes online wakes it",
    "alarm/consumers/events.py": "reads again after it was fenced",
    "alarm/consumers/owners.py": "waits longer after each try",
    "alarm/jobs/holder.py": "a step wakes it",
    "ingest/api/rejected_causes.py": "gives other work its turn",
    "ingest/consumers/publishing.py": "repeats what is left, until the lease ends",
    "ingest/consumers/topics_trail.py": "the least time between two writings",
    "ingest/mqtt/sandbox.py": "until nothing has come for a while",
    "logic/consumers/evaluator.py": "its pauses follow from what is due",
    "logic/jobs/actions.py": "waits for what becomes of a newer command, within a time",
    "logic/consumers/evaluation.py": "evaluates again after it was fenced",
    "logic/store/state_writer.py": "writes what changed, and names the rule that has to wait",
    "sensor/consumers/storing.py": "writes `latest` where no batch does",
    "sensor/jobs/upkeep.py": "gives other work its turn",
    "simulator/jobs/factory.py": "its pause follows from what is due",
    "simulator/jobs/registrar.py": "health away is told once, not each second",
    "simulator/jobs/ticking.py": "its pause follows from what is due",
    "websocket-gateway/jobs/users.py": "also waits for a migration that is under way",
    "websocket-gateway/store/standing.py": "the database away is told by its pool",
    "websocket-gateway/ws/hub.py": "looks at clients, which cannot fail",
    "websocket-gateway/ws/messages.py": "the rate of a client",
    "websocket-gateway/ws/topics.py": "tries again where a pod or stream is away",
}


def sleeping(path: Path) -> Iterator[int]:
    """Lines of `while` loops that sleep."""
    for loop in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(loop, ast.While):
            calls = [each for each in ast.walk(loop) if isinstance(each, ast.Call)]
            if any(ast.unparse(call.func) in PAUSES for call in calls):
                yield loop.lineno


def test_no_service_repeats_a_step_by_a_loop_of_its_own():
    found = {}
    for path in sorted((ROOT / "services").glob("*/src/*/**/*.py")):
        if lines := list(sleeping(path)):
            parts = path.relative_to(ROOT / "services").parts
            found["/".join((parts[0], *parts[3:]))] = lines
    assert found.keys() == OWN.keys(), found


def test_the_page_says_how_many_loops_are_not_shared():
    page = " ".join((ROOT / "docs/architecture.md").read_text(encoding="utf-8").split())
    assert f" {len(OWN)} files of services have a loop of their own that sleeps" in page


def test_nobody_takes_a_lease_by_hand():
    """`leader` renews it, and ends the work before it runs out."""
    by_hand = [
        str(path.relative_to(ROOT))
        for path in (ROOT / "services").glob("*/src/**/*.py")
        if "ease.acquire(" in path.read_text() or "ease.keep(" in path.read_text()
    ]
    assert by_hand == []


def test_a_loop_that_sleeps_is_seen(tmp_path: Path):
    path = tmp_path / "job.py"
    path.write_text("async def run():\n    while True:\n        await step()\n        await asyncio.sleep(1)\n")
    assert list(sleeping(path)) == [2]
