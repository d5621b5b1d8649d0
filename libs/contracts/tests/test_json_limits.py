"""Counting JSON before it is parsed."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthbench.contracts.json_limits import JsonLimits, JsonMeter, TooMuchJson

ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=40,
)
STRINGS = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)


def depth_of(value: object) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(depth_of, inner), default=0)


def fits(data: bytes, size: int, limits: JsonLimits) -> bool:
    meter = JsonMeter(limits)
    try:
        for at in range(0, len(data), size):
            meter.feed(data[at : at + size])
    except TooMuchJson:
        return False
    return True


@given(ANY, st.booleans(), st.integers(1, 9))
def test_marks_and_depth_are_those_of_the_value_whatever_the_pieces(value: object, ascii_only: bool, size: int):
    data = json.dumps(value, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    marks = sum(STRINGS.sub(b"", data).count(mark) for mark in (b",", b":", b"[", b"]", b"{", b"}"))
    depth = depth_of(value)
    assert fits(data, size, JsonLimits(marks, depth))
    assert not marks or not fits(data, size, JsonLimits(marks - 1, depth))
    assert not depth or not fits(data, size, JsonLimits(marks, depth - 1))


@given(st.binary(), st.integers(1, 9))
def test_what_is_no_json_is_counted_without_an_error(data: bytes, size: int):
    fits(data, size, JsonLimits(3, 2))


@pytest.mark.parametrize("data", [b"0," * 1000, b"[" * 1000, b"{}" * 1000, b'"",' * 1000, b'"\\\\",' * 1000])
def test_many_small_values_are_too_many(data: bytes):
    assert not fits(data, 100, JsonLimits(marks=900))
    assert fits(b'{"a":"' + data.replace(b'"', b"'").replace(b"\\", b"/") + b'"}', 100, JsonLimits(marks=3))
