"""The items of an array are those that the whole text has, however it is cut."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kaiser_factory_dialect import json_items
from kaiser_factory_dialect.json_items import items_of

SIMPLE = st.sampled_from([None, True, 0, -12, 10**20, 1.5, -2e-7, "", "é\u2028", '"\\', "\U0001f600"])
VALUES = SIMPLE | st.lists(SIMPLE, max_size=3) | st.dictionaries(st.sampled_from(["", "a", "[,]"]), SIMPLE, max_size=3)


def cut(text: bytes, size: int) -> list[bytes]:
    return [text[at : at + size] for at in range(0, len(text), size)]


@given(st.lists(VALUES, max_size=5), st.integers(1, 9), st.booleans(), st.sampled_from([None, 1]))
def test_an_array_gives_its_items(values: list[Any], size: int, ascii_only: bool, indent: int | None):
    text = json.dumps(values, ensure_ascii=ascii_only, indent=indent).encode()
    assert list(items_of(cut(text, size))) == values


@given(VALUES.filter(lambda value: not isinstance(value, list)), st.integers(1, 9))
def test_a_value_that_is_no_array_is_the_one_item(value: Any, size: int):
    text = json.dumps(value).encode()
    assert list(items_of(cut(text, size))) == [value]


@given(st.binary(max_size=40), st.integers(1, 9))
def test_no_bytes_raise_anything_but_that_they_are_no_json(text: bytes, size: int):
    try:
        list(items_of(cut(text, size)))
    except ValueError:
        return


@pytest.mark.parametrize("text", [b"", b"[1, 2", b"[1 2]", b"[1,]", b"[1] x", b"nothing", b"[" * 100_000, b"[\xff]"])
def test_what_is_no_json_is_named(text: bytes):
    with pytest.raises(ValueError, match=r"not JSON"):
        list(items_of(cut(text, 7)))


def test_items_before_a_break_are_given():
    found: list[Any] = []
    with pytest.raises(ValueError, match="not JSON"):
        found.extend(items_of(cut(b'[{"a": 1}, {"b": 2}, {"c": ', 5)))
    assert found == [{"a": 1}, {"b": 2}]


def test_an_item_is_bounded(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(json_items, "LONGEST", 100)
    with pytest.raises(ValueError, match="more than 100 characters"):
        list(items_of(cut(b'["' + b"x" * 1000 + b'"]', 10)))
