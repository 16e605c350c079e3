"""`kaiser-factory check`: it passes what was handed and names each change of an expectation, with exit status 1."""

import base64
import copy
import gzip
import hashlib
import importlib
import json
import sqlite3
import subprocess
import sys
import tomllib
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from kaiser_factory_dialect import cli
from kaiser_factory_dialect.compare import Placeholders, differences
from kaiser_factory_dialect.vectors import check_vectors

DATA = Path(__file__).parents[3] / "tests/golden"
VECTORS = DATA / "factory-messages.json"
SESSION, EXPECTED = DATA / "factory-session.jsonl", DATA / "factory-session.expected.json"
COUNTS = {
    "messages": 98,
    "commands": 38,
    "views": 18,
    "journal": 10,
    "subjects": 5,
    "covers": 4,
    "shift": 1,
    "imports": 3,
}
HANDED = json.loads(VECTORS.read_text())


HANDED_AS = {
    VECTORS: "7f5d08c2d0ddd4b016977cb39db17d5ade453219feab18fa34c84ebc722be995",
    SESSION: "2547665482e3d64bd3acac8c5d2cdcfed75ffd4639f3c88a81d78b987cd00c93",
    EXPECTED: "0e7d079268e6bb6a0cb3916d3b425c064df9fe1d3da76b408f0d15f5efc0541e",
}
"""The SHA-256 of each file as it was handed: what the dialect is held to does not follow the dialect."""


def test_what_was_handed_is_unchanged():
    assert {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in HANDED_AS} == HANDED_AS


def test_every_handed_vector_passes():
    report = check_vectors(HANDED)
    assert report.failures == []
    assert report.passed == {section: (count, count) for section, count in COUNTS.items()}


def test_the_command_passes_the_handed_vectors(capsys: pytest.CaptureFixture[str]):
    assert cli.main(["check", str(VECTORS)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{section}: {count} of {count} pass" for section, count in COUNTS.items()
    ]


def test_the_command_runs_without_anything_around_it():
    command = [sys.executable, "-m", "kaiser_factory_dialect.cli", "check", str(SESSION), "--expect", str(EXPECTED)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env={"PATH": ""})
    assert (ran.returncode, ran.stdout) == (0, "566 messages, 5 bad lines: 0 differences\n"), ran.stderr


def test_the_package_declares_the_command():
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    module, _, function = project["scripts"]["kaiser-dialect"].partition(":")
    assert getattr(importlib.import_module(module), function) is cli.main


EXPECTATIONS = {
    "messages": ("expect", "kind", "normalised", "code", "field", "reason"),
    "commands": ("expect", "status", "code", "messages"),
    "views": ("expect",),
    "journal": ("expect",),
    "covers": ("cover",),
    "shift": ("shifted",),
    "imports": ("messages", "skipped", "naive"),
}


def leaves(tree: Any, path: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    return [leaf for key, value in items for leaf in leaves(value, (*path, key))] or [path]


@pytest.mark.parametrize("section", EXPECTATIONS)
def test_no_part_of_an_expectation_goes_uncompared(section: str):
    """Each leaf of each expectation is changed once; the vector must fail then."""
    unseen = []
    for vector in HANDED[section]:
        for name in EXPECTATIONS[section]:
            for path in leaves(vector[name], (name,)) if name in vector else ():
                changed = copy.deepcopy(vector)
                holder = changed
                for key in path[:-1]:
                    holder = holder[key]
                holder[path[-1]] = "another"
                if not check_vectors({section: [changed]}).failures:
                    unseen.append((vector["name"], path))
    assert unseen == []


def test_a_subject_that_is_another_is_named():
    report = check_vectors({"subjects": [["a/b", "topic.live.a.c"]]})
    assert report.failures[0] == "subjects: 0: [0]: 'topic.live.a.b' instead of 'topic.live.a.c'"


@pytest.mark.parametrize("vector", [{}, [], None, 7, {"topic": 1, "payload": None}])
def test_what_is_no_vector_fails_and_does_not_raise(vector: Any):
    for section in COUNTS:
        assert check_vectors({section: [vector]}).failures, section


def changed(tmp_path: Path, **more: Any) -> str:
    file = tmp_path / "expected.json"
    file.write_text(json.dumps(json.loads(EXPECTED.read_text()) | more))
    return str(file)


def test_a_session_that_ends_otherwise_is_named_with_status_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    expected = changed(tmp_path, end_ms=1)
    assert cli.main(["check", str(SESSION), "--expect", expected]) == 1
    assert capsys.readouterr().out.splitlines()[0] == "end_ms: 298830 instead of 1"


def test_a_recording_without_an_expectation_is_summed_up(capsys: pytest.CaptureFixture[str]):
    assert cli.main(["check", str(SESSION)]) == 0
    assert json.loads(capsys.readouterr().out)["messages"] == 566


def test_a_compressed_recording_and_a_database_end_the_same(tmp_path: Path):
    packed = tmp_path / "session.jsonl.gz"
    packed.write_bytes(gzip.compress(SESSION.read_bytes()))
    assert cli.main(["check", str(packed), "--expect", str(EXPECTED)]) == 0
    file = tmp_path / "session.db"
    rows = [
        json.loads(line) for line in SESSION.read_text().splitlines() if line.startswith('{"topic"') and is_json(line)
    ]
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("CREATE TABLE mqtt_messages (id INTEGER PRIMARY KEY, topic, payload, timestamp, qos, retain)")
        database.executemany(
            "INSERT INTO mqtt_messages (topic, payload, timestamp, qos, retain) VALUES (?, ?, ?, ?, ?)",
            [(row["topic"], body(row), row["timestamp"], row.get("qos"), row.get("retain")) for row in rows],
        )
    skipped = [
        [place, "topic"] for place, row in enumerate(rows, start=1) if "+" in row["topic"] or "#" in row["topic"]
    ]
    expected = changed(tmp_path, lines=len(rows), skipped=skipped)
    assert cli.main(["check", str(file), "--expect", expected]) == 0


def body(row: dict[str, Any]) -> str | bytes:
    return base64.b64decode(row["payload_base64"]) if "payload_base64" in row else row["payload"]


def is_json(line: str) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize(
    ("name", "content"), [("a.json", b"{"), ("a.gz", b"no gzip"), ("a.db", b"no database at all"), ("a.db", b"")]
)
def test_a_file_that_cannot_be_read_is_named_with_status_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, content: bytes
):
    file = tmp_path / name
    file.write_bytes(content)
    assert cli.main(["check", str(file)]) == 2
    assert str(file) in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "says"), [("{", "not JSON: "), ("[]", "an expectation must be a JSON object"), (None, "No such file")]
)
def test_an_expectation_that_cannot_be_read_is_the_file_that_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str | None, says: str
):
    file = tmp_path / "expected.json"
    if content is not None:
        file.write_text(content)
    assert cli.main(["check", str(SESSION), "--expect", str(file)]) == 2
    assert capsys.readouterr().err.startswith(f"kaiser-factory: {file}: {says}")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["check", str(SESSION), "--expcet", str(EXPECTED)], "unrecognized arguments: --expcet"),
        (["check"], "the following arguments are required: file"),
        ([], "required"),
    ],
)
def test_a_misspelt_argument_is_named_with_status_2(
    capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
):
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    assert ended.value.code == 2
    assert says in capsys.readouterr().err


def test_an_expectation_for_vectors_is_refused():
    assert cli.main(["check", str(VECTORS), "--expect", str(EXPECTED)]) == 2


def test_a_file_that_is_not_there_is_status_2(tmp_path: Path):
    assert cli.main(["check", str(tmp_path / "none.log")]) == 2


def test_true_is_not_1_and_a_list_is_compared_wholly():
    assert differences({"a": [1, True]}, {"a": [1, 1], "b": 2}) == ["a[1]: 1 instead of True"]
    assert differences([1], [1, 2]) == [": 2 items instead of 1: [1, 2]"]
    assert differences({"a": 1}, {}) == ["a: missing instead of 1"]


UUID = "0d9e7a10-1111-4c1d-8a51-5e0b6a7c8d01"


def test_the_same_placeholder_is_the_same_value_and_another_is_another():
    found = Placeholders()
    assert found.differences("x-$uuid:a", f"x-{UUID}") == []
    assert found.differences("$uuid:a", UUID) == []
    assert found.differences("$uuid:b", UUID) != []
    assert found.differences("$uuid:a", UUID.replace("0d9e", "0d9f")) != []
    assert found.differences("$hex8:a", "0d9e7A10") != []
    assert found.differences({"a": 1}, {"a": 1, "b": 2}, "p") == ["p.b: not expected"]
