"""TOML of others: what no parser can read is one kind of error."""

import tomllib

import pytest

from synthbench.contracts.loose import parse_toml


@pytest.mark.parametrize(
    "text", ["a = " + "[" * 3000, "a = " + "{b=" * 3000, "a = " + "9" * 5000, "[a", "a = 1979-99-99"]
)
def test_toml_that_is_too_deep_too_long_or_none_is_a_decode_error_of_one_line(text: str):
    with pytest.raises(tomllib.TOMLDecodeError) as refused:
        parse_toml(text)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 100


def test_toml_is_parsed():
    assert parse_toml("[a]\nb = [1, 2]") == {"a": {"b": [1, 2]}}
