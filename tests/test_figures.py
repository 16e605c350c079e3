"""The figures of docs/performance.md are those of the files in bench/: drawn by `make figures`, never by hand."""

import re
import xml.etree.ElementTree as ET

import pytest

from bench import figures

RESULTS = figures.measured()
MEASURED = {
    "quick": True,
    "commit": "abc1234",
    "at": "2026-11-29T15:00:00Z",
    "machine": {"cpu": "a processor", "cores": 2, "memory_gb": 8.0},
    "saturation_per_s": 31_000,
    "cpu_us_per_reading": {"ingest": 10.5, "nats": 4.0},
    "rss_mb": {"ingest": 60},
    "peers": {"batch_writer": {"per_s": 12_345}},
    "rest": {"first_start_s": 21.5, "start_s": [9.0, 8.0], "memory_of_services_mb": 440},
    "growth": {"per_s_by_devices": {"100": 31_000, "10000": 15_500}},
    "acting": {"by_rules": {"10": {"frame": {"p99": 12.5}}}},
    "bars": {"commit": "abc1234", "at": "2026-11-29T15:00:00Z", "bars": [
        {"bar": "cores_at_500", "must_be": "< 0.7", "measured": 0.65, "met": True},
        {"bar": "saturation_to_older", "must_be": "≥ 3.4", "measured": None, "met": None},
    ]},
}  # fmt: skip


def test_the_page_shows_what_the_file_says():
    text = figures.PAGE.read_text()
    assert figures.page(text, RESULTS) == text, "run `make figures`"
    assert {name for _, name in re.findall(r"(<!-- figures: (\w+) -->)", text)} == set(figures._TABLES)


def test_the_charts_show_what_the_file_says():
    drawn = figures.charts(RESULTS)
    kept = {path.name: path.read_text() for path in figures.CHARTS.glob("growth-*.svg")}
    assert kept == drawn, "run `make figures`"


def test_a_part_that_was_not_measured_is_left_out_and_each_figure_has_its_commit():
    table = figures.saturation(MEASURED)
    assert "| saturation, readings/s | 31,000 | abc1234, 2026-11-29 15:00 UTC |" in table
    assert "| peer: batch_writer, readings/s | 12,345 | abc1234, 2026-11-29 15:00 UTC |" in table
    assert "| start, s | 8 to 9 |" in table
    assert "quick form" in table
    assert "naive" not in table
    assert "| `cores_at_500` | < 0.7 | 0.65 | met |" in figures.bars(MEASURED)
    assert "| `saturation_to_older` | ≥ 3.4 | – | not measured |" in figures.bars(MEASURED)
    assert set(figures.charts(MEASURED)) == {"growth-devices.svg", "growth-rules.svg"}


def test_the_figures_of_stops_are_drawn_with_their_commit_time_and_goal():
    found = {
        "at": "2026-11-30T10:00:00Z",
        "commit": "abc1234",
        "machine": {"load_before": [0.2, 0.5, 1.0]},
        "devices": 1000,
        "presses": 5,
        "stops": [
            {"flood": "nothing", "broadcast_ms": 12.4, "own_ms": 140.2, "answer_ms": 9.0, "goal_ms": 50},
            {"flood": "sign_ins", "broadcast_ms": 210.0, "own_ms": 400.0, "answer_ms": 30.0, "goal_ms": 200},
        ],
    }
    drawn = figures.stops({"stops": found})
    assert "Commit and time: abc1234, 2026-11-30 10:00 UTC; load average before 0.2 / 0.5 / 1." in drawn
    assert "| nothing | 12 | < 50, met | 140 | 9 |" in drawn
    assert "| sign ins | 210 | < 200, **missed** | 400 | 30 |" in drawn
    assert "Not measured" in figures.stops({})


def test_the_bars_of_a_chart_stand_for_their_values():
    chart = ET.fromstring(figures.charts(MEASURED)["growth-devices.svg"])
    heights = [float(bar.get("height", 0)) for bar in chart.iter("{http://www.w3.org/2000/svg}rect")][1:]
    assert heights[1] == pytest.approx(heights[0] / 2, abs=0.1)
    words = [each.text for each in chart.iter("{http://www.w3.org/2000/svg}text")]
    assert words[2:] == ["31,000", "100", "15,500", "10,000"]
