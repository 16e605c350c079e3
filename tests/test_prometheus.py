"""The rules of deploy/prometheus: valid, tested one by one, each with a runbook."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "deploy/prometheus"
RULES = sorted((FOLDER / "rules").glob("*.yml"))
TESTS = FOLDER / "tests/alerts_test.yml"


def alerts() -> list[str]:
    groups = [group for path in RULES for group in yaml.safe_load(path.read_text())["groups"]]
    return [rule["alert"] for group in groups for rule in group["rules"] if "alert" in rule]


@pytest.fixture
def promtool(missing):
    """Run promtool; its output, once it has found nothing wrong."""
    program = shutil.which("promtool") or missing("prometheus", "promtool is not installed (Debian: prometheus)")

    def run(*arguments: str | Path) -> str:
        done = subprocess.run(
            [program, *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False, cwd=ROOT
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def test_prometheus_accepts_its_configuration(promtool):
    assert "SUCCESS: 3 rule files found" in promtool("check", "config", FOLDER / "prometheus.yml")


def test_every_alert_fires_when_it_should_and_only_then(promtool):
    assert "SUCCESS" in promtool("test", "rules", TESTS)


def test_every_alert_is_tested():
    tested = set(re.findall(r'alertname="(\w+)"', TESTS.read_text()))
    assert set(alerts()) == tested


def test_every_test_has_a_moment_at_which_nothing_fires():
    for case in yaml.safe_load(TESTS.read_text())["tests"]:
        assert any(not check["exp_samples"] for check in case["promql_expr_test"]), case["name"]


@pytest.mark.parametrize("alert", alerts())
def test_every_alert_has_a_runbook(alert):
    assert f"\n## {alert}\n" in (ROOT / "docs/runbooks.md").read_text()


def test_no_runbook_is_left_over():
    headings = re.findall(r"^## (Kaiser\w+)$", (ROOT / "docs/runbooks.md").read_text(), re.MULTILINE)
    assert sorted(headings) == sorted(alerts())
