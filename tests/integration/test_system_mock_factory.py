"""The mock factory in a whole stack, through the sandbox broker: `make demo FILE=demo/factory.yaml`, and twelve orders
with every fault once, of which the figures that the service factory stored add up."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import forked
import httpx
import pytest
import yaml
from harness import ROOT, Stack, reading, wait_until
from kaiser_common.contract.schemas.api.mock_factory import CreateMockFactory
from kaiser_demo import mocks as demo
from mocks import ok

FILE = ROOT / "demo" / "factory.yaml"
MOCK = "/api/v1/debug/mock-factory"
FACTORY = "/api/v1/factory"
LONG_S = 240.0
SPEED = 30
FINAL = {"FINISHED", "ERROR", "CANCELLED"}


def run(stack: Stack, command: str, file: Path) -> str:
    """The output of `kaiser-demo`."""
    done = forked.run(["kaiser-demo", command, "--file", str(file)], cwd=ROOT, env=stack.environment, timeout=200)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


class AtFactory:
    """Requests to the factory of a stack."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.rest = stack.sign_in()

    def get(self, path: str, **query: Any) -> Any:
        """An answer; None while a service is away."""
        answer = self.rest.get(f"{FACTORY}/{path}", params=query)
        return None if answer.status_code in (503, 504) else ok(answer)

    def orders(self) -> list[dict[str, Any]]:
        return list((self.get("orders", limit=1000) or {"items": []})["items"])

    def steer(self, **request: Any) -> httpx.Response:
        return self.rest.post(f"{FACTORY}/steering", json=request)

    def order(self, kind: str, **more: Any) -> None:
        """Request an order, and wait until the central control has it."""
        before = len(self.orders())
        ok(self.steer(do="order", type=kind, **more))
        wait_until(lambda: len(self.orders()) > before, f"the order of {kind} is known", LONG_S)

    def faults(self, **faults: Any) -> None:
        ok(self.rest.put(f"{MOCK}/faults", json=faults))

    def module(self, serial: str) -> dict[str, Any]:
        rows = (self.get("modules") or {"items": []})["items"]
        return next((row for row in rows if row["serial"] == serial), {})


@pytest.fixture
def factory(make_stack: Callable[..., Stack]) -> Iterator[AtFactory]:
    """A stack as `make run FACTORY=1` starts it: the factory has an ingest of its own."""
    at = AtFactory(make_stack("run", "--factory").start())
    yield at
    at.rest.close()


def test_the_file_of_the_demo_is_what_the_api_takes() -> None:
    content = demo.read(FILE)
    assert content.devices == []
    assert CreateMockFactory.model_validate(content.factory).orders


def test_without_the_dialect_the_demo_says_how_to_turn_it_on(stack: Stack) -> None:
    command = ["kaiser-demo", "load", "--file", str(FILE)]
    done = forked.run(command, cwd=ROOT, env=stack.environment, timeout=200)
    assert (done.returncode, "make run FACTORY=1" in done.stderr) == (2, True), done.stderr


def test_the_demo_shows_pieces_of_three_colours_and_a_failed_one_and_is_taken_away_again(
    factory: AtFactory, tmp_path: Path
) -> None:
    content = yaml.safe_load(FILE.read_text())
    content["factory"] |= {"speed": SPEED, "faults": {"quality_failed": 0.5}}
    file = tmp_path / "factory.yaml"
    file.write_text(yaml.safe_dump(content))
    assert factory.rest.post(MOCK, json={}).status_code == 409, "only in an environment of kind mock"
    [esp_id] = factory.stack.register(1)
    assert "8 machines show" in run(factory.stack, "load", file)
    assert factory.get("environment")["kind"] == "mock"
    assert "was there already" in run(factory.stack, "load", file)
    # Devices keep their broker whatever environment the factory is in.
    assert ok(factory.rest.get("/api/v1/system/mqtt/profile"))["active"] == "live"
    factory.stack.publish([reading(esp_id, 4, int(time.time() * 1000), 21.5)])
    wait_until(lambda: factory.stack.rows([esp_id]) == 1, "a reading is stored meanwhile", LONG_S)

    def colours() -> bool:
        states = {(order["type"], order["state"]) for order in factory.orders()}
        done = {kind for kind, state in states if state in FINAL}
        return done >= {"WHITE", "RED", "BLUE"} and "ERROR" in {state for _, state in states}

    wait_until(colours, "a white, a red and a blue one are done, and one has failed", LONG_S)
    run(factory.stack, "remove", file)
    assert factory.get("environment")["env"] == "live"
    assert factory.rest.get(MOCK).status_code == 404


def test_twelve_orders_with_every_fault_once_are_stored_so_that_they_add_up_though_the_simulator_is_killed(
    factory: AtFactory,
) -> None:
    ok(factory.rest.post(f"{FACTORY}/environment", json={"profile": "mock"}))
    setup = {"speed": SPEED, "refill": False}
    wait_until(lambda: factory.rest.post(MOCK, json=setup).status_code == 201, "the mock factory is made", LONG_S)
    wait_until(lambda: factory.module("SVR4H76449").get("connection") == "ONLINE", "the drill is there", LONG_S)
    wait_until(lambda: factory.module("5iO4").get("node") == "SVR4H73275", "an AGV is at the DPS", LONG_S)
    began = int(time.time() * 1000)
    for kind in ("WHITE", "BLUE"):
        for _ in range(3):
            factory.order(kind)

    _have_every_fault_once_and_three_red_ones(factory)
    for kind in ("WHITE", "RED", "BLUE"):
        factory.order(kind, order_type="STORAGE", workpiece_id=f"04{kind.lower()}")
    wait_until(lambda: {one["state"] for one in factory.orders()} <= FINAL, "every order is done", LONG_S)

    orders = factory.orders()
    assert len(orders) == 12
    words = Counter(order["state"] for order in orders)
    made = ok(factory.rest.get(MOCK))
    assert words == {"FINISHED": 12 - made["failed"], "ERROR": made["failed"]}
    assert made["active"] == 0
    assert made["shipped"] == words["FINISHED"] - 3

    wait_until(lambda: all(_whole(factory, order["order_id"]) for order in orders), "every step is stored", LONG_S)
    timelines = [factory.get(f"orders/{order['order_id']}/timeline") for order in orders]
    failed = [one for one in timelines if one["order"]["state"] == "ERROR"]
    where = Counter(step["command"] for one in failed for step in one["steps"] if step["state"] == "ERROR")
    assert where["PICK"] == 1
    assert where["CHECK_QUALITY"] == made["failed"] - 1
    for one in timelines:
        states = [step["state"] for step in one["steps"]]
        last = "FINISHED" if one["order"]["state"] == "FINISHED" else "ERROR"
        at = len(states) - 1 if last == "FINISHED" else states.index("ERROR")
        assert set(states[:at]) <= {"FINISHED"}
        assert states[at] == last
        assert set(states[at + 1 :]) <= {"CANCELLED"}

    _check_stock_and_quality(factory, timelines, where["CHECK_QUALITY"])
    figures = factory.get("figures", **{"from": began - 60_000, "to": int(time.time() * 1000) + 60_000})
    assert figures["orders"] == words["FINISHED"]
    assert figures["yield_share"] == pytest.approx(words["FINISHED"] / 12)
    rejected = ok(factory.rest.get("/api/v1/rejected", params={"limit": 100}))["items"]
    assert rejected == []


def _whole(factory: AtFactory, order_id: str) -> bool:
    """Whether the steps of an order are all stored as they ended."""
    found = factory.get(f"orders/{order_id}/timeline")
    return found is not None and all(step["state"] in FINAL for step in found["steps"])


def _have_every_fault_once_and_three_red_ones(factory: AtFactory) -> None:
    """The red ones are ordered behind the faults that they meet: the others may be done by then."""
    factory.faults(offline=["DRILL"], duplicate=1.0)
    wait_until(
        lambda: factory.module("SVR4H76449").get("connection") == "CONNECTIONBROKEN", "the drill is gone", LONG_S
    )
    factory.stack.kill("simulator")
    wait_until(lambda: factory.rest.get(MOCK).status_code == 200, "the mock factory goes on", LONG_S)
    assert ok(factory.rest.get(MOCK))["faults"]["offline"] == ["SVR4H76449"]
    factory.faults(silent=["MILL"], clock_offset_s={"ccu": -1_000_000, "AIQS": 46}, slow=2)
    wait_until(lambda: factory.module("SVR4H76449").get("connection") == "ONLINE", "the drill is back", LONG_S)
    factory.faults(battery_low=["leJ4"], ccu_mute=True)
    (lost,) = ok(factory.steer(do="order", type="RED"))["commands"]
    wait_until(lambda: factory.get(f"commands/{lost['command_id']}")["state"] == "no_answer", "nobody answers", LONG_S)
    factory.faults(pick_failed=["MILL"])
    factory.order("RED")
    wait_until(lambda: ok(factory.rest.get(MOCK))["faults"]["pick_failed"] == [], "a PICK has failed", LONG_S)
    factory.faults(quality_failed=1.0)
    for _ in range(2):
        factory.order("RED")
    wait_until(lambda: ok(factory.rest.get(MOCK))["failed"] >= 2, "a check has failed", LONG_S)
    factory.stack.kill("simulator")
    wait_until(lambda: factory.rest.get(MOCK).status_code == 200, "the mock factory goes on", LONG_S)
    factory.faults(node_unknown=["5iO4"])
    factory.faults()


def _check_stock_and_quality(factory: AtFactory, timelines: list[dict[str, Any]], failed: int) -> None:
    (store,) = wait_until(lambda: (factory.get("stock") or {"items": []})["items"], "the stock", LONG_S)
    assert sorted(bay["id"] for bay in store["bays"] if bay["type"]) == ["04blue", "04red", "04white"]
    checked = sum(
        step["command"] == "CHECK_QUALITY" and step["state"] in {"FINISHED", "ERROR"}
        for one in timelines
        for step in one["steps"]
    )
    quality = factory.get("quality", limit=1000)["items"]
    assert Counter(one["result"] for one in quality) == {
        "PASSED": checked - failed,
        "FAILED": failed,
    }
    picture = factory.rest.get(f"{FACTORY}/quality/{quality[0]['quality_id']}/picture")
    assert picture.content.startswith(b"\x89PNG")
