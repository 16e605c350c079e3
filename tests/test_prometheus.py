"""The rules of deploy/prometheus: valid, tested one by one, each with a runbook."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from alarm_kinds import alerts_of_their_own, documented
from kaiser_deploy import runbook_page

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "deploy/prometheus"
RULES = sorted((FOLDER / "rules").glob("*.yml"))
TESTS = FOLDER / "tests/alerts_test.yml"


def rules() -> list[dict[str, Any]]:
    groups = [group for path in RULES for group in yaml.safe_load(path.read_text())["groups"]]
    return [rule for group in groups for rule in group["rules"]]


def alerts() -> list[str]:
    return [rule["alert"] for rule in rules() if "alert" in rule]


@pytest.fixture
def promtool(missing):
    """Run promtool; its output, once it has found nothing wrong."""
    program = shutil.which("promtool") or missing("prometheus", "promtool is not installed (Debian: prometheus)")

    def run(*arguments: str | Path) -> str:
        done = subprocess.run(
            [program, *map(str, arguments)], capture_output=True, text=True, timeout=600, check=False, cwd=ROOT
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def test_prometheus_accepts_its_configuration(promtool):
    assert "SUCCESS: 3 rule files found" in promtool("check", "config", FOLDER / "prometheus.yml")


def test_every_alert_fires_when_it_should_and_only_then(promtool):
    assert "SUCCESS" in promtool("test", "rules", TESTS)


def test_each_kind_of_alarm_that_stands_fires_an_alert(promtool, tmp_path):
    """KaiserAlarmActive fires, except for the kinds that have alerts of their own."""
    kinds, own = {row.kind for row in documented()}, alerts_of_their_own()
    assert own.keys() <= kinds
    assert {alert for named in own.values() for alert in named} <= set(alerts())
    fires = [f'{{alertname="KaiserAlarmActive", kind="{kind}"}}' for kind in sorted(kinds - own.keys())]
    series = [f'kaiser_alarm_active{{service="alarm",kind="{kind}"}}' for kind in sorted(kinds)]
    up = 'up{job="kaiser",service="ingest",instance="a"}'
    case = {
        "interval": "1m",
        "input_series": [{"series": one, "values": "1+0x60"} for one in (up, *series)],
        "promql_expr_test": [
            {
                "expr": 'count by (alertname, kind) (ALERTS{alertstate="firing"})',
                "eval_time": "31m",
                "exp_samples": [{"labels": labels, "value": 1} for labels in fires],
            }
        ],
    }
    path = tmp_path / "kinds_test.yml"
    path.write_text(yaml.safe_dump({"rule_files": [str(path) for path in RULES], "tests": [case]}))
    assert "SUCCESS" in promtool("test", "rules", path)


def test_every_alert_is_tested():
    tested = set(re.findall(r'alertname="(\w+)"', TESTS.read_text()))
    assert set(alerts()) == tested


@pytest.mark.parametrize("path", RULES, ids=lambda path: path.stem)
def test_every_alert_links_its_runbook_on_the_page_that_the_gateway_serves(path):
    page = (ROOT / "services/websocket-gateway/src/kaiser_gateway/console/runbooks.html").read_text()
    for group in yaml.safe_load(path.read_text())["groups"]:
        for rule in group["rules"]:
            if "alert" in rule:
                url = f"http://127.0.0.1:8000/console/runbooks.html#{rule['alert']}"
                assert rule["annotations"]["runbook_url"] == url
                assert f'<h2 id="{rule["alert"]}">' in page


def test_the_page_of_runbooks_is_that_of_docs():
    page = ROOT / "services/websocket-gateway/src/kaiser_gateway/console/runbooks.html"
    assert page.read_text() == runbook_page.page((ROOT / "docs/runbooks.md").read_text()), "run: make runbook-page"


@pytest.mark.parametrize("line", ["- a list", "| a | table |", "```", "  indented", "### deep"])
def test_markdown_that_the_page_of_runbooks_cannot_show_is_refused(line):
    with pytest.raises(runbook_page.UnknownMarkdown):
        runbook_page.page(f"# Runbooks\n\n{line}\n")


def test_every_rule_keeps_the_namespace_and_the_site():
    for rule in rules():
        lost = re.findall(r"(?<![:\w])(?:sum|max|min|count|group)\b(?! by \(namespace, site)", rule["expr"])
        assert lost == [], rule


def test_every_test_has_a_moment_at_which_nothing_fires():
    for case in yaml.safe_load(TESTS.read_text())["tests"]:
        assert any(not check["exp_samples"] for check in case["promql_expr_test"]), case["name"]


@pytest.mark.parametrize("alert", alerts())
def test_every_alert_has_a_runbook(alert):
    assert f"\n## {alert}\n" in (ROOT / "docs/runbooks.md").read_text()


def test_no_runbook_is_left_over():
    headings = re.findall(r"^## (Kaiser\w+)$", (ROOT / "docs/runbooks.md").read_text(), re.MULTILINE)
    assert sorted(headings) == sorted(alerts())
