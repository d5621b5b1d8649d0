"""Shares, means, intervals, pass@k."""

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthbench.datasets.statistics import mean, pass_at_k, wilson


# Source of the figures: R, prop.test(x, n, correct = FALSE).
@pytest.mark.parametrize(
    ("solved", "of", "low", "high"), [(0, 10, 0.0, 0.2775), (7, 10, 0.3968, 0.8922), (10, 10, 0.7225, 1.0)]
)
def test_wilson(solved: int, of: int, low: float, high: float):
    found = wilson(solved, of)
    assert found is not None
    assert (found["low"], found["high"]) == (pytest.approx(low, abs=1e-4), pytest.approx(high, abs=1e-4))


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20))
def test_a_mean_lies_in_its_interval_and_that_between_the_values(values: list[float]):
    found = mean(values)
    assert found is not None
    slack = 1e-6 * (1 + max(map(abs, values)))
    assert min(values) - slack <= found["low"] <= found["high"] <= max(values) + slack
    assert min(values) - slack <= found["mean"] <= max(values) + slack
    assert found == mean(values)


def test_the_interval_of_a_mean_narrows_with_more_values():
    few, many = mean([1.0, 2.0, 3.0] * 2), mean([1.0, 2.0, 3.0] * 40)
    assert few is not None
    assert many is not None
    assert 1.0 < few["low"] < many["low"] < 2.0 < many["high"] < few["high"] < 3.0


@given(st.integers(1, 9), st.integers(0, 9), st.integers(1, 9))
def test_pass_at_k_is_the_share_of_all_choices_that_hold_a_success(trials: int, successes: int, k: int):
    if successes > trials or k > trials:
        assert pass_at_k(trials, successes, k) is None
        return
    choices = list(combinations(range(trials), k))
    lucky = sum(any(one < successes for one in choice) for choice in choices)
    assert pass_at_k(trials, successes, k) == pytest.approx(lucky / len(choices))
