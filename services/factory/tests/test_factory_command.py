"""The installed command `kaiser-factory check`, as a user runs it: its exit status and what it prints."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

GOLDEN = Path(__file__).parents[3] / "tests/golden"
VECTORS = GOLDEN / "factory-messages.json"
SESSION, EXPECTED = GOLDEN / "factory-session.jsonl", GOLDEN / "factory-session.expected.json"
COMMAND = Path(sys.executable).with_name("kaiser-factory")


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the console script without any setting in its environment."""
    command = [str(COMMAND), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env={"PATH": ""})


def test_the_installed_command_passes_the_vectors_and_the_recorded_session() -> None:
    vectors = run("check", VECTORS)
    assert (vectors.returncode, vectors.stderr) == (0, "")
    assert "messages: 98 of 98 pass" in vectors.stdout.splitlines()
    session = run("check", SESSION, "--expect", EXPECTED)
    assert (session.returncode, session.stderr) == (0, "")
    assert session.stdout == "566 messages, 5 bad lines: 0 differences\n"


def test_the_installed_command_names_what_differs_and_exits_with_1(tmp_path: Path) -> None:
    expected = json.loads(EXPECTED.read_text())
    order = expected["orders"][0]
    was, order["state"] = order["state"], "ERROR"
    changed = tmp_path / "expected.json"
    changed.write_text(json.dumps(expected))
    session = run("check", SESSION, "--expect", changed)
    assert (session.returncode, session.stderr) == (1, "")
    assert session.stdout.splitlines() == [
        f"orders[0].state: {was!r} instead of 'ERROR'",
        "566 messages, 5 bad lines: 1 differences",
    ]
    vectors = json.loads(VECTORS.read_text())
    first = vectors["messages"][0]
    first["kind"] = "module.order"
    wrong = tmp_path / "vectors.json"
    wrong.write_text(json.dumps(vectors))
    walked = run("check", wrong)
    assert walked.returncode == 1
    assert walked.stdout.splitlines()[0].startswith(f"messages: {first['name']}: kind: ")
    assert "messages: 97 of 98 pass" in walked.stdout.splitlines()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("chekc", VECTORS), "invalid choice: 'chekc' (choose from"),
        (("check", "absent.jsonl"), "kaiser-factory: absent.jsonl: No such file or directory\n"),
        (("check", SESSION, "--expect", "absent.json"), "kaiser-factory: absent.json: No such file or directory\n"),
    ],
)
def test_a_typo_and_an_absent_file_are_named_with_status_2(arguments: tuple[object, ...], says: str) -> None:
    ran = run(*arguments)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert says in ran.stderr
    assert "Traceback" not in ran.stderr
