"""The message centre's page without a browser: frames to lists, the tree of topics, texts to copy and to save."""

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from console_module import called, node
from kaiser_factory_dialect.recordings import Recorded, parse_lines

pytestmark = pytest.mark.servers  # they start node

NOW = 1_800_000_000_000


def message(seq: int, topic: str = "a/b", **fields: Any) -> dict[str, Any]:
    return {"seq": seq, "topic": topic, "received_at": NOW, "size": 2, "qos": 1, "retained": False, "own": False,
            "verdict": "accept", "kind": "k", "payload": "{}", "held": 1, **fields}  # fmt: skip


@pytest.fixture
def ask(missing: Callable[..., Any], tmp_path: Path) -> Callable[..., Any]:
    """`ask([function, *arguments], …)` of core/message_list.js."""
    if node() is None:
        missing("node", "node is not installed")
    return lambda *calls: called("message_list.js", [list(call) for call in calls], tmp_path)


def test_a_filter_with_a_star_has_a_hint(ask):
    answers = ask(*(["filterFault", text] for text in ("", "a/+/#", "a/*", "a/#/b", "a+/b")))
    assert [bool(one) for one in answers] == [False, False, True, True, True]
    assert "use + for one level, # for all that follow" in answers[2]


def test_age_has_four_colours(ask):
    answers = ask(*(["age", NOW - old, NOW] for old in (0, 4999, 5000, 59_999, 60_000, 599_999, 600_000)))
    assert answers == ["fresh", "fresh", "recent", "recent", "older", "older", "stale"]


def test_topics_are_a_tree_whose_branches_close(ask):
    topics = [message(1, "b/x"), message(2, "a/y"), message(3, "a"), message(4, "/j1/z")]
    rows, closed = ask(["treeOf", topics, []], ["treeOf", topics, ["a"]])
    assert [(row["name"], row["depth"], row["topics"], row["item"] is not None) for row in rows] == [
        ("(empty level)", 0, 1, False),
        ("j1", 1, 1, False),
        ("z", 2, 1, True),
        ("a", 0, 2, True),
        ("y", 1, 1, True),
        ("b", 0, 1, False),
        ("x", 1, 1, True),
    ]
    assert [row["path"] for row in closed if row["path"].startswith("a")] == ["a"]


def test_a_command_line_publishes_what_came_whatever_is_in_it(ask):
    texts = ["{}", "it's $(rm -rf /) `x` \\", "", "two\nlines"]
    lines = ask(*(["mosquittoPub", message(1, "a'b/c", payload=text)] for text in texts))
    for text, line in zip(texts, lines, strict=True):
        words = shlex.split(line)
        assert words[:7] == ["mosquitto_pub", "-h", "BROKER", "-q", "1", "-t", "a'b/c"]
        assert words[7:] == (["-m", text] if text else ["-n"])
    (binary,) = ask(["mosquittoPub", {**message(1), "payload": None, "payload_base64": "/wA="}])
    assert binary.startswith("echo '/wA=' | base64 -d | mosquitto_pub ")
    assert binary.endswith(" -s")


def test_what_is_shown_is_saved_as_a_recording_that_can_be_read_again(ask):
    shown = [
        message(1, payload='{"ü": 1}', qos=2, retained=True, received_at=NOW + 1),
        {**message(2, "x"), "payload": None, "payload_base64": "/wA="},
        message(3, "y", payload=""),
    ]
    (text,) = ask(["recordingOf", shown, "live"])
    recording = parse_lines(text.encode().splitlines())
    assert (recording.bad_lines, recording.naive, recording.meta["format"]) == (0, False, "kaiser-session/1")
    assert recording.messages == [
        Recorded("a/b", '{"ü": 1}'.encode(), (NOW + 1) * 1000, 2, True),
        Recorded("x", b"\xff\x00", NOW * 1000, 1, False),
        Recorded("y", b"", NOW * 1000, 1, False),
    ]


def test_search_looks_in_topic_and_payload(ask):
    one = message(1, "Module/x", payload='{"type": "WHITE"}')
    assert ask(["has", one, "module"], ["has", one, "white"], ["has", one, "red"], ["has", one, ""]) == [
        True,
        True,
        False,
        True,
    ]


def test_a_verdict_is_said_in_words(ask):
    rejected = {"verdict": "reject", "code": 5209}
    ignored = {"verdict": "ignore", "reason": "observed"}
    assert ask(["verdictOf", rejected], ["verdictOf", ignored], ["verdictOf", message(1)]) == [
        "rejected, 5209",
        "ignored: observed",
        "k",
    ]
