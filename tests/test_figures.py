"""The figures of the pages are those of the files in bench/: drawn by `make figures`, never by hand."""

import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from bench import fault_figures, figures, goals, overview, results

RESULTS = figures.measured()
NOW = {
    "at": "2026-11-29T15:00:00Z",
    "commit": "abc1234",
    "machine": {"cpu": "a processor", "cores": 2, "memory_gb": 8.0, "mosquitto": "2.1.2"},
}
MEASURED = {
    "saturation_per_s": 31_000,
    "cpu_us_per_reading": {"ingest": 10.5, "nats": 4.0},
    "rss_mb": {"ingest": 60, "nats": 300},
    "limits_per_s": {"mqtt_receive": 62_000, "copy_upsert": 90_000},
    "peers": {"batch_writer": {"per_s": 12_345}},
    "rest": {"first_start_s": 21.5, "start_s": [9.0, 8.0], "memory_of_services_mb": 440},
    "growth": {
        "per_s_by_devices": {"100": 31_000, "10000": 15_500},
        "per_s_by_rows": {"1000000": 30_000},
        "per_s_at_100m_rows": 29_000,
    },
    "acting": {"by_rules": {"10": {"frame": {"p99": 12.5}}}},
    "parts": {
        "saturation": NOW,
        "limits": NOW,
        "peers": {**NOW, "commit": "old5678", "at": "2026-11-21T13:00:00Z"},
        "rest": {**NOW, "quick": True},
        "growth-devices": NOW,
        "growth-rows": NOW,
        "growth-rows-100m": {**NOW, "commit": "def9012"},
        "acting-rules": NOW,
    },
    "bars": {**NOW, "bars": [
        {"bar": "cores_at_500", "must_be": "< 0.7", "measured": 0.65, "met": True},
        {"bar": "saturation_to_older", "must_be": "≥ 3.4", "measured": None, "met": None},
    ]},
}  # fmt: skip


@pytest.mark.parametrize("path", figures.PAGES, ids=lambda path: path.name)
def test_a_page_shows_what_the_files_say(path: Path):
    text = path.read_text()
    assert figures.page(text, RESULTS) == text, "run `make figures`"


def test_every_table_is_on_a_page():
    shown = {name for path in figures.PAGES for _, name in re.findall(r"(<!-- figures: (\S+) -->)", path.read_text())}
    assert shown == set(figures.TABLES)


def test_the_charts_show_what_the_file_says():
    drawn = figures.charts(RESULTS)
    kept = {path.name: path.read_text() for path in figures.CHARTS.glob("growth-*.svg")}
    assert kept == drawn, "run `make figures`"


def test_each_goal_and_bar_that_is_missed_has_a_sentence():
    missed = {one.goal.name for one in goals.judged(RESULTS) if one.met is False}
    missed |= {one["bar"] for one in RESULTS["bars"]["bars"] if one["met"] is False}
    page = (figures.ROOT / "docs/performance.md").read_text()
    said = page.partition("### Missed goals\n")[2].partition("\n## ")[0]
    assert {name for name in missed if f"`{name}`" not in said} == set()


def test_a_part_that_was_not_measured_is_left_out_and_each_figure_has_its_commit():
    table = figures.saturation(MEASURED)
    assert "| saturation, readings/s | 31,000 | abc1234, 2026-11-29 15:00 UTC |" in table
    assert "| saturation to the lowest limit | 0.5 | abc1234, 2026-11-29 15:00 UTC |" in table
    assert "| peer: batch_writer, readings/s | 12,345 | old5678, 2026-11-21 13:00 UTC |" in table
    assert "| start, s | 8 to 9 | abc1234, 2026-11-29 15:00 UTC, the quick form, for a first look |" in table
    assert "naive" not in table
    assert "| `cores_at_500` | < 0.7 | 0.65 | met |" in figures.bars(MEASURED)
    assert "| `saturation_to_older` | ≥ 3.4 | – | not measured |" in figures.bars(MEASURED)
    assert set(figures.charts(MEASURED)) == {"growth-devices.svg", "growth-rows.svg", "growth-rules.svg"}


def test_a_chart_of_two_parts_has_the_points_and_commits_of_both():
    drawn = figures.growth(MEASURED)
    assert "![Saturation by rows already stored: 1,000,000: 30,000, 100,000,000: 29,000]" in drawn
    assert "stored: abc1234, 2026-11-29 15:00 UTC; def9012, 2026-11-29 15:00 UTC." in drawn
    assert "Not measured yet: by alarms, by clients." in drawn


def test_limits_of_another_commit_than_saturations_give_no_ratio():
    parts = MEASURED["parts"] | {"limits": {**NOW, "commit": "old5678"}}
    assert figures.ratio_to_limit(MEASURED) == 0.5
    assert figures.ratio_to_limit(MEASURED | {"parts": parts}) is None


def test_goals_are_judged_from_what_was_measured():
    found = {one.goal.name: (one.measured, one.met) for one in goals.judged(MEASURED)}
    assert found["saturation.readings_per_s"] == (31_000, True)
    assert found["saturation.nats_mb"] == (300, True)
    assert found["growth.lowest_to_first_by_devices"] == (0.5, False)
    assert found["growth.lowest_to_first_by_rows"] == (None, None)
    assert found["growth.100m_rows_to_1m"] == (0.967, True)
    assert found["rest.memory_mb"] == (440, True)
    assert found["factory.event_p99_ms"] == (None, None)
    assert found["soak.most_growth_percent"] == (None, None)
    grown = {"processes": {"nats": {"first_mb": 300, "last_mb": 312, "growth": 0.04},
                           "mosquitto": {"first_mb": 3.0, "last_mb": 3.9, "growth": 0.3}}}  # fmt: skip
    trials = [{"name": "kill-nats-nats", "recovered_in_s": 16.0}, {"name": "backlog-nats", "recovered_in_s": 99.0}]
    found = {
        one.goal.name: (one.measured, one.met) for one in goals.judged({"soak": grown, "faults": {"trials": trials}})
    }
    assert found["soak.most_growth_percent"] == (4.0, False)
    assert found["faults.longest_recovery_s"] == (16.0, False)


def test_each_trial_of_the_faults_has_a_kind_with_its_words():
    names = {
        found
        for path in (figures.ROOT / "tests/faults").glob("*.py")
        for found in re.findall(r'(?:\btrial\([\w.]+, |\bname = )f?"([a-z-]+)', path.read_text())
    }
    assert len(names) > 20
    assert {name for name in names if fault_figures.kind_of(name.rstrip("-")) is None} == set()
    assert fault_figures.kind_of("kill-nats-of-three-mosquitto") == "kill-nats-of-three"
    assert fault_figures.kind_of("kill-nats-mosquitto") == "kill"
    assert fault_figures.kind_of("poison-on-the-bus-nats") == "poison-on-the-bus"
    assert {
        trial["name"] for trial in RESULTS["faults"]["trials"] if fault_figures.kind_of(trial["name"]) is None
    } == set()


def test_a_cluster_is_shown_by_its_replicas():
    found = {
        "1": {"packs_per_s": 900, "alone_p50_ms": 1.5, "cpu_us_per_pack": 300},
        "3": {"packs_per_s": 400, "alone_p50_ms": 3.25, "cpu_us_per_pack": 900},
    }
    drawn = figures.cluster({"cluster": found, "parts": {"cluster": NOW}})
    assert "| 3 | 400 | 40,000 | 3.25 | 900 |" in drawn
    assert "abc1234, 2026-11-29 15:00 UTC" in drawn
    assert "Not measured" in figures.cluster({})


def test_the_table_of_faults_sums_trials_and_names_those_without_a_result():
    common = {"versions": {"kaiser": "abc1234"}, "broken": [], "lost": 0}
    trials = [
        {"name": "kill-sensor-nats", "at": "2026-11-21T14:43:22Z", "sent": 1000, "recovered_in_s": 2.0, **common},
        {"name": "kill-nats-mosquitto", "at": "2026-11-30T14:43:22Z", "sent": 500, "recovered_in_s": 9.08,
         **common, "lost": 11, "versions": {"kaiser": "def9012"}},
        {"name": "alarms-kill-sensor-nats", "at": "2026-11-29T18:49:39Z", "raised": 160, **common, "broken": ["one"]},
    ]  # fmt: skip
    table = fault_figures.table({"trials": trials})
    assert "| each process killed | Mosquitto, NATS | 2 | 1,500 | 11 | 9.1 |" in table
    assert "| abc1234 to def9012; 2026-11-21 to 2026-11-30 |" in table
    assert "(**1 broken**) | NATS | 1 | 160 alarms | 0 | – | abc1234; 2026-11-29 |" in table
    assert "Without a result yet:" in table
    assert "each process frozen" in table.partition("Without a result yet:")[2]


def test_the_figures_of_stops_are_drawn_with_their_commit_time_and_goal():
    found = {
        "at": "2026-11-30T10:00:00Z",
        "commit": "abc1234",
        "machine": {"load_before": [0.2, 0.5, 1.0]},
        "devices": 1000,
        "presses": 5,
        "stops": [
            {"flood": "nothing", "broadcast_ms": 12.4, "own_ms": 14.2, "answer_ms": 9.0, "goal_ms": 50},
            {"flood": "sign_ins", "broadcast_ms": 110.0, "own_ms": 400.0, "answer_ms": 30.0, "goal_ms": 200},
        ],
    }
    drawn = figures.stops({"stops": found})
    assert "Commit and time: abc1234, 2026-11-30 10:00 UTC; load average before 0.2 / 0.5 / 1." in drawn
    assert "| nothing | 12 | 14 | < 50, met | 9 |" in drawn
    assert "| sign ins | 110 | 400 | < 200, **missed** | 30 |" in drawn
    assert "Not measured" in figures.stops({})


def test_the_figures_of_the_overview_are_those_that_its_test_writes(tmp_path: Path):
    took_ms = [float(number) for number in range(1, 200)]
    path = tmp_path / "overview.json"
    results.write(path, overview.results(took_ms, 1000, 1_234_567))
    found = json.loads(path.read_text())
    assert (found["median_ms"], found["p95_ms"], found["requests"]) == (100, 190, 199)
    assert {"at", "commit", "machine"} <= found.keys()
    found |= {"at": "2026-11-30T10:00:00Z", "commit": "abc1234"}
    found["machine"]["load_before"] = [0.2, 0.5, 1.0]
    drawn = figures.overview_table({"overview": found})
    assert "Commit and time: abc1234, 2026-11-30 10:00 UTC; load average before 0.2 / 0.5 / 1." in drawn
    assert "1,000 sensors with a day each, 199 requests one by one, 1.23 MB each." in drawn
    assert "| median, ms | 100 | ≤ 100 | met |" in drawn
    assert "| 95th percentile, ms | 190 | ≤ 3 times the median | met |" in drawn
    slow = overview.results([101.0, 101.0, 101.0, 400.0], 1000, 1)
    assert overview.table(slow).count("**missed**") == 2
    [goal] = [one for one in goals.judged({"overview": slow}) if one.goal.name == "overview.median_ms"]
    assert (goal.measured, goal.met) == (101.0, False)
    assert "Not measured" in figures.overview_table({})


_SVG = "{http://www.w3.org/2000/svg}"


def test_the_bars_of_a_chart_stand_for_their_values():
    chart = ET.fromstring(figures.charts(MEASURED)["growth-devices.svg"])
    heights = [float(bar.get("height", 0)) for bar in chart.iter(f"{_SVG}rect") if bar.get("class") == "bar"]
    assert heights[1] == pytest.approx(heights[0] / 2, abs=0.1)
    words = [each.text for each in chart.iter(f"{_SVG}text")]
    assert words[2:] == ["0", "31,000", "100", "15,500", "10,000", "devices"]


def test_a_chart_names_itself_its_axes_and_points_and_follows_the_dark():
    chart = ET.fromstring(figures.charts(MEASURED)["growth-devices.svg"])
    named = {each.get("id"): each.text for each in chart if each.tag in (f"{_SVG}title", f"{_SVG}desc")}
    assert chart.get("aria-labelledby", "").split() == list(named)
    assert list(named.values()) == [
        "Saturation by number of devices",
        "readings/s by devices: 100: 31,000, 10,000: 15,500",
    ]
    style = chart.findtext(f"{_SVG}style") or ""
    assert "prefers-color-scheme: dark" in style
    assert {each.get("class") for each in chart if each.get("class")} <= set(re.findall(r"\.(\w+) {", style))
