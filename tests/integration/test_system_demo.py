"""`make demo`: a newcomer sees a greenhouse within a minute."""

from collections.abc import Callable
from pathlib import Path

import forked
import yaml
from harness import ROOT, Stack, wait_until
from kaiser_common.contract.schemas.api.mock import CreateMocks
from kaiser_common.contract.schemas.api.rules import RuleSettings
from kaiser_demo import mocks as demo
from mocks import Mocks, ok

FILE = ROOT / "demo" / "greenhouse.yaml"


def run(stack: Stack, command: str = "load") -> str:
    """The output of `kaiser-demo`."""
    done = forked.run(["kaiser-demo", command], cwd=ROOT, env=stack.environment, timeout=90)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_file_holds_eight_devices_and_rules_that_the_api_takes():
    content = demo.read(FILE)
    made = CreateMocks.model_validate({"devices": content.devices})
    assert len(made.devices) == 8
    commanded = {(device.esp_id, one.gpio) for device in made.devices for one in device.actuators}
    rules = [RuleSettings.model_validate(rule) for rule in content.rules]
    assert rules
    assert {(action.esp_id, action.gpio) for rule in rules for action in rule.actions} <= commanded


def test_charts_move_within_a_minute_and_everything_can_be_taken_away_again(
    make_stack: Callable[..., Stack], tmp_path: Path
):
    stack = make_stack().start()
    mocks = Mocks(stack)
    ids = [device["esp_id"] for device in yaml.safe_load(FILE.read_text())["devices"]]
    misspelt = tmp_path / "misspelt.yaml"
    for text, said in (
        ("devices:\n- esp_id: MOCK_X\n  sensros: []\n", "sensros: there is no such field: did you mean sensors?"),
        ("devices: []\nrule: []\n", "there is no key rule: did you mean rules?"),
    ):
        misspelt.write_text(text)
        command = ["kaiser-demo", "load", "--file", str(misspelt)]
        done = forked.run(command, cwd=ROOT, env=stack.environment, timeout=90)
        assert (done.returncode, said in done.stderr) == (2, True), done.stderr
    assert "8 mock devices made" in run(stack)
    wait_until(
        lambda: all(len(mocks.readings(esp_id, gpio)) >= 3 for esp_id, gpio in (("MOCK_BED_1", 34), ("MOCK_TANK", 32))),
        "three readings of a bed and of the tank",
    )
    overview = ok(mocks.rest.get("/api/v1/overview"))
    assert {one["name"] for one in overview["sensors"] if one["esp_id"] == "MOCK_BED_1"} == {
        "Soil moisture",
        "Soil temperature",
    }
    wait_until(lambda: mocks.actuator("MOCK_BED_1", 26)["state"], "the rule waters the dry bed", 90.0)
    [rule] = ok(mocks.rest.get("/api/v1/logic/rules", params={"esp_id": "MOCK_BED_1"}))["items"]
    fired = {"rule_id": rule["rule_id"], "outcome": "succeeded"}
    wait_until(
        lambda: ok(mocks.rest.get("/api/v1/logic/executions", params=fired))["items"], "its execution is in the list"
    )
    assert "0 mock devices made, 8 were there already" in run(stack)
    assert "8 mock devices and 1 rules removed" in run(stack, "remove")
    assert [mocks.device(esp_id) for esp_id in ids] == [{}] * 8


def test_without_a_stack_it_says_how_to_start_one(make_stack: Callable[..., Stack]):
    stack = make_stack()
    done = forked.run(["kaiser-demo", "load"], cwd=ROOT, env=stack.environment, timeout=60)
    assert (done.returncode, "make run" in done.stderr) == (1, True)
