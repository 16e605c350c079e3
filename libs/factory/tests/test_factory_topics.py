"""Topics, filters, subjects and priorities: the handed vectors, and what holds for any text."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kaiser_factory_dialect import filters, priorities, subjects, topics
from kaiser_factory_dialect.catalogue import ROWS, FactoryKind

VECTORS = json.loads((Path(__file__).parents[3] / "tests/golden/factory-messages.json").read_text())

LEVEL = st.text(st.characters(exclude_characters="/+#\x00"), max_size=6)
TOPIC = st.lists(LEVEL, min_size=1, max_size=6).map("/".join).filter(bool)
FILTER = st.builds(
    lambda levels, rest: "/".join(levels + rest) or "#",
    st.lists(st.sampled_from(["a", "b", "+", "", "$x"]), max_size=4),
    st.sampled_from([[], ["#"]]),
)


@pytest.mark.parametrize(("topic", "subject"), VECTORS["subjects"])
def test_a_topic_has_its_subject(topic: str, subject: str):
    assert subjects.topic_subject("live", topic) == subject
    assert subjects.topic_of(subject) == ("live", topic)


@pytest.mark.parametrize("vector", VECTORS["covers"], ids=lambda vector: " ".join(vector["filters"]))
def test_filters_have_their_minimal_cover(vector: dict[str, list[str]]):
    assert list(filters.minimal_cover(vector["filters"])) == vector["cover"]


@given(TOPIC)
def test_every_topic_comes_back_from_its_subject(topic: str):
    subject = subjects.topic_subject("live", topic)
    assert subjects.topic_of(subject) == ("live", topic)
    assert all(subject.split("."))
    assert not set(subject) & set(" *>\t\r\n")


@given(st.text())
def test_no_topic_raises(topic: str):
    topics.parse(topic)
    priorities.level_of(topic)
    filters.fault(topic)
    subjects.topic_subject("live", topic)


@given(FILTER, FILTER, st.lists(st.sampled_from(["a", "b", "", "$x"]), min_size=1, max_size=5).map("/".join))
def test_what_a_filter_covers_it_matches(wide: str, narrow: str, topic: str):
    if filters.covers(wide, narrow) and filters.matches(narrow, topic):
        assert filters.matches(wide, topic)


@given(st.lists(FILTER, max_size=6), st.lists(st.sampled_from(["a", "b", "", "$x"]), min_size=1, max_size=5))
def test_a_minimal_cover_matches_the_same_topics(some: list[str], levels: list[str]):
    topic, cover = "/".join(levels), filters.minimal_cover(some)
    assert any(filters.matches(one, topic) for one in some) == any(filters.matches(one, topic) for one in cover)
    assert not any(filters.covers(a, b) for a in cover for b in cover if a != b)


@given(
    st.lists(FILTER, min_size=1, max_size=4), st.lists(st.sampled_from(["a", "b", "", "$x"]), min_size=1, max_size=5)
)
def test_the_subjects_of_a_consumer_match_the_same_topics_and_cover_none_of_each_other(
    some: list[str], levels: list[str]
):
    topic = "/".join(levels)
    tokens = subjects.topic_subject("live", topic).split(".")
    found = subjects.consumer_subjects("live", tuple(some))
    wanted = any(filters.matches(one, topic) for one in some)
    assert any(nats_matches(one.split("."), tokens) for one in found) == wanted or topic.startswith("$")
    for one in found:
        samples = [one.replace("*", "zz").replace(">", rest).split(".") for rest in ("zz", "zz.zz")]
        assert not any(
            all(nats_matches(other.split("."), sample) for sample in samples) for other in found if other != one
        )


def nats_matches(pattern: list[str], tokens: list[str]) -> bool:
    for at, one in enumerate(pattern):
        if one == ">":
            return len(tokens) > at
        if at >= len(tokens) or one not in {"*", tokens[at]}:
            return False
    return len(pattern) == len(tokens)


@pytest.mark.parametrize(
    ("topic", "kind", "serial", "source", "name"),
    [
        ("module/v1/ff/SVRT10003/state", FactoryKind.MODULE_STATE, "SVRT10003", "device", "state"),
        ("module/v1/other/NodeRed/SVRT10004/state", FactoryKind.MODULE_STATE, "SVRT10004", "nodered", "state"),
        ("module/v1/ff/NodeRed/status", FactoryKind.NODERED_STATUS, None, "nodered", "status"),
        ("module/v1/ff/NodeRed/state", FactoryKind.MODULE_STATE, "NodeRed", "device", "state"),
        ("fts/v1/ff/5iO4/instantAction", FactoryKind.AGV_INSTANT, "5iO4", "device", "instantAction"),
        ("uagv/v3/ACME/A.1/instantActions", FactoryKind.AGV_INSTANT, "A.1", "vda5050", "instantActions"),
        ("ccu/set/reset", FactoryKind.CCU_SET, None, "device", "reset"),
        ("/j1/txt/2/i/ldr", FactoryKind.TXT_SENSOR, "2", "device", "ldr"),
        ("/j1/txt/1/f/i/config/hbw", FactoryKind.OBSERVED, "1", "device", "hbw"),
        ("osf/a/b/c", FactoryKind.OBSERVED, None, "device", ""),
        ("osf", FactoryKind.OBSERVED, None, "device", ""),
    ],
)
def test_a_topic_is_taken_apart(topic: str, kind: FactoryKind, serial: str | None, source: str, name: str):
    found = topics.parse(topic)
    assert found is not None
    assert (found.kind, found.serial, found.source, found.name) == (kind, serial, source, name)


@pytest.mark.parametrize(
    "topic",
    [
        "",
        "j1/txt/1/i/ldr",
        "uagv/v9/ACME/A.1/state",
        "agv/v2/ACME/A.1/state",
        "module/v2/ff/S/state",
        "ccu/state/weather",
        f"module/v1/{'m' * 256}/S/state",
    ],
)
def test_a_topic_outside_the_catalogue_is_none(topic: str):
    assert topics.parse(topic) is None


def test_other_interface_names_replace_the_default():
    assert topics.parse("amr/v2/ACME/A.1/state", ["amr"]) is not None
    assert topics.parse("uagv/v2/ACME/A.1/state", ["amr"]) is None


@pytest.mark.parametrize(
    ("kind", "serial", "options", "topic"),
    [
        (FactoryKind.MODULE_ORDER, "SVR3QA2098", {}, "module/v1/ff/SVR3QA2098/order"),
        (FactoryKind.MODULE_ORDER, "SVR4H73275", {"source": "nodered"}, "module/v1/ff/NodeRed/SVR4H73275/order"),
        (FactoryKind.AGV_INSTANT, "5iO4", {}, "fts/v1/ff/5iO4/instantAction"),
        (
            FactoryKind.AGV_ORDER,
            "A.1",
            {"source": "vda5050", "root": ("amr", "v2"), "manufacturer": "ACME"},
            "amr/v2/ACME/A.1/order",
        ),
        (FactoryKind.CCU_SET, "", {"name": "module-duration"}, "ccu/set/module-duration"),
        (FactoryKind.OBSERVED, "1", {"name": "ptu"}, "/j1/txt/1/o/ptu"),
    ],
)
def test_a_topic_is_built(kind: FactoryKind, serial: str, options: dict[str, str], topic: str):
    assert topics.build(kind, serial, **options) == topic


@pytest.mark.parametrize("serial", ["", "a b", "NodeRed", "a/b", "x" * 65])
def test_no_topic_is_built_with_a_serial_of_wrong_form(serial: str):
    with pytest.raises(ValueError, match=r"serial|catalogue"):
        topics.build(FactoryKind.MODULE_ORDER, serial)


def test_each_row_of_the_catalogue_is_found_by_its_own_topic():
    filled = {"{m}": "ff", "{s}": "S1", "{n}": "1", "{i}": "uagv", "{v}": "v2", "{x}": "S1", "#": "any"}
    for row in ROWS:
        topic = "/".join(filled.get(level, level) for level in row.template.split("/"))
        found = topics.parse(topic)
        assert found is not None
        assert found.row is row, topic
        assert any(filters.matches(one, topic) for one in filters.subscriptions()), topic


def test_the_levels_show_more_and_more():
    assert priorities.level_of("module/v1/ff/NodeRed/SVRT10004/state") == 1
    assert priorities.level_of("uagv/v2/ACME/A.1/instantActions") == 2
    assert priorities.level_of("/j1/txt/1/f/i/order") == 3
    assert priorities.level_of("ccu/pairing/state") == 4
    assert priorities.level_of("fts/v1/ff/5iO4/factsheet") == 4
    assert priorities.level_of("module/v1/ff/SVRT10005/instantAction") == 5
    assert priorities.level_of("omf/test") == 6
    assert priorities.shown_at(6) == ("#",)
    assert "ccu/#" in priorities.shown_at(4)
    assert "ccu/order/#" not in priorities.shown_at(4)
    with pytest.raises(ValueError, match="levels are 1 to 6"):
        priorities.shown_at(7)


def test_a_filter_with_a_star_is_refused_with_a_hint():
    assert "use + for one level" in (filters.fault("module/*/state") or "")
    assert filters.fault("a/#/b") is not None
    assert filters.fault("a/b+") is not None
    assert filters.fault("+/j1/#") is None
    assert filters.matches("+/j1/#", "/j1/txt")
    assert not filters.matches("j1/#", "/j1/txt")


def test_all_and_a_leading_plus_do_not_match_system_topics():
    assert not filters.covers("#", "$SYS/#")
    assert not filters.matches("+/x", "$SYS/x")
    assert filters.matches("$SYS/#", "$SYS/x")
