"""Sampling parameters, checked where they come in."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from synthbench.contracts.sampling import Sampling, written_by_hand


@pytest.mark.parametrize(
    "given",
    [
        {"temperature": -0.1}, {"temperature": 2.1}, {"temperature": float("nan")}, {"top_p": 0}, {"top_p": 1.01},
        {"max_tokens": 0}, {"max_tokens": 1.5}, {"reasoning_effort": "lots"}, {"seed": 2**63}, {"seed": "x"},
        {"top_k": 40}, {"extra_body": {"model": '"m"'}}, {"extra_body": {"seed": "1"}}, {"extra_body": {"a": "nope"}},
        {"extra_body": {"a": "NaN"}}, {"extra_body": {"a": "[" * 4000}}, {"extra_body": {"a": '"' + "x" * 5000 + '"'}},
        {"extra_body": {"": "1"}}, {"extra_body": {f"f{number}": "1" for number in range(33)}},
    ],
    ids=lambda given: json.dumps(given)[:40],
)  # fmt: skip
def test_what_no_model_takes_is_refused(given: dict[str, Any]):
    with pytest.raises(ValidationError):
        Sampling.model_validate(given)


def test_parameters_survive_json():
    sampling = Sampling(temperature=0.0, top_p=1.0, max_tokens=1, seed=-3, extra_body={"a": '{"b": [1, null]}'})
    assert Sampling.model_validate_json(sampling.to_json()) == sampling
    assert sampling.extra == {"a": {"b": [1, None]}}


def test_what_is_said_twice_is_the_more_particular_words():
    ours = Sampling(temperature=0.0, extra_body={"a": "1"})
    theirs = Sampling(temperature=1.0, top_p=0.5, extra_body={"a": "2", "b": "3"})
    assert ours.over(theirs) == Sampling(temperature=0.0, top_p=0.5, extra_body={"a": "1", "b": "3"})


def test_a_toml_table_names_extra_fields_as_toml_does():
    table = {"temperature": 0.5, "extra_body": {"top_k": 40, "mode": "fast", "nested": {"on": True}}}
    read = Sampling.model_validate(written_by_hand(table))
    assert read.extra == {"top_k": 40, "mode": "fast", "nested": {"on": True}}
