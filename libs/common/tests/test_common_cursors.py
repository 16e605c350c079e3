"""Cursors: what a page gave out comes back, anything else is refused with 422."""

import base64
import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kaiser_common.bus.rpc import RpcError
from kaiser_common.runtime.cursors import parse_cursor, to_cursor

TEXT = st.text(st.characters(categories=("L", "N", "P", "S")), max_size=40)


@given(TEXT, st.integers(-(2**63), 2**63 - 1), st.floats(-1e15, 1e15))
def test_what_was_given_out_comes_back(text, number, seconds):
    assert parse_cursor(to_cursor(text, number, seconds), str, int, float) == [text, number, seconds]


def encoded(value) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode()


@pytest.mark.parametrize(
    "cursor",
    [
        "x",
        "é",
        "====",
        "AAAA",
        encoded({}),
        encoded([]),
        encoded(["a"]),
        encoded(["a", 1, 2]),
        encoded(["a\0b", 1]),
        encoded(["a\n", 1]),
        encoded([1, 1]),
        encoded(["a", "1"]),
        encoded(["a", True]),
        encoded(["a", 1.5]),
        encoded(["a", 2**63]),
        encoded(["a", None]),
        encoded(["\ud800", 1]),
        base64.urlsafe_b64encode(b"[" * 100_000).decode(),
        base64.urlsafe_b64encode(b"1767225600.0 4 ds18b20\0").decode(),
    ],
)
def test_anything_else_is_refused(cursor):
    with pytest.raises(RpcError) as refused:
        parse_cursor(cursor, str, int)
    assert (refused.value.problem.status, refused.value.problem.field) == (422, "cursor")


@given(st.text(max_size=60) | st.binary(max_size=60).map(lambda body: base64.urlsafe_b64encode(body).decode()))
def test_no_text_raises_anything_else(cursor):
    with contextlib.suppress(RpcError):
        parse_cursor(cursor, float, int, str, str)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), 2.0**63])
def test_a_number_that_is_no_time_is_refused(number):
    with pytest.raises(RpcError):
        parse_cursor(base64.urlsafe_b64encode(json.dumps([number]).encode()).decode(), float)
