"""bench/results.json: a part's figures take the place of its own earlier ones and of no others."""

import subprocess
from pathlib import Path

import pytest

from bench import results
from bench.commit import commit_of
from bench.results import Stamp

OLD = Stamp("old5678", {"cores": 2}, note="quiet")
NEW = Stamp("abc1234", {"cores": 4}, quick=True)


def test_a_part_that_is_measured_again_leaves_the_figures_and_commits_of_the_others():
    before = results.with_part({}, "naive", {"naive_per_s": 2800}, OLD)
    before = results.with_part(before, "growth-devices", {"growth.per_s_by_devices": {100: 40_000}}, OLD)
    after = results.with_part(before, "growth-rows", {"growth.per_s_by_rows": {1000: 39_000}}, NEW)
    assert after["naive_per_s"] == 2800
    assert after["growth"] == {"per_s_by_devices": {"100": 40_000}, "per_s_by_rows": {"1000": 39_000}}
    commits = {part: (said["commit"], said["machine"]["cores"], said["quick"]) for part, said in after["parts"].items()}
    assert commits == {
        "naive": ("old5678", 2, False),
        "growth-devices": ("old5678", 2, False),
        "growth-rows": ("abc1234", 4, True),
    }
    assert set(before["growth"]) == {"per_s_by_devices"}


def test_no_part_has_figures_of_two_runs():
    before = results.with_part({}, "growth-rows", {"growth.per_s_by_rows": {1: 1}, "growth.bytes_per_row": 191}, OLD)
    after = results.with_part(before, "growth-rows", {"growth.per_s_by_rows": {2: 2}}, NEW)
    assert after["growth"] == {"per_s_by_rows": {"2": 2}}


def test_a_part_writes_into_its_own_places_alone():
    with pytest.raises(AssertionError):
        results.with_part({}, "naive", {"saturation_per_s": 1}, NEW)
    places = [place for owned in results.OWNS.values() for place in owned]
    assert len(places) == len(set(places))


def test_a_group_stands_for_its_parts_in_the_order_in_which_they_run():
    assert results.chosen(["rest", "growth", "latency"]) == [
        "latency", "growth-devices", "growth-clients", "growth-rows", "growth-rows-100m", "rest",
    ]  # fmt: skip
    assert results.chosen(list(results.OWNS)) == list(results.OWNS)
    assert all(set(parts) <= set(results.OWNS) for parts in results.GROUPS.values())


def test_the_file_is_made_and_read_again(tmp_path: Path):
    path = tmp_path / "new" / "quick.json"
    assert results.read(path) == {}
    results.write(path, results.with_part({}, "naive", {"naive_per_s": 2800}, NEW))
    assert results.read(path)["naive_per_s"] == 2800


def test_every_figure_of_the_file_has_its_part():
    found = results.read(Path(__file__).parents[1] / "bench" / "results.json")
    owned = {place.partition(".")[0] for part in found["parts"] for place in results.OWNS[part]}
    assert set(found) - {"parts", "bars"} <= owned


def test_results_that_were_written_leave_the_commit_as_it_is_and_code_does_not(tmp_path: Path):
    def git(*words: str) -> None:
        identity = ["-c", "user.name=nobody", "-c", "user.email=nobody@example.org"]
        subprocess.run(["git", "-C", tmp_path, *identity, *words], check=True, capture_output=True, timeout=60)

    assert commit_of(tmp_path) == ""
    files = [tmp_path / name for name in ("README.md", "bench/results.json", "docs/performance.md", "bench/code.py")]
    for file in files:
        file.parent.mkdir(exist_ok=True)
        file.write_text("before")
    git("init", "-q")
    git("add", ".")
    git("commit", "-q", "-m", "first")
    commit = commit_of(tmp_path)
    for file in files[:3]:
        file.write_text("after")
    assert commit_of(tmp_path) == commit
    files[3].write_text("after")
    assert commit_of(tmp_path) == f"{commit}-dirty"
