"""The scalar of a reward follows from its parts and the weights, and from nothing else."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthbench.contracts.rewards import (
    DEFAULT,
    STEPWISE,
    WHOLE,
    Rewards,
    StepRewards,
    by_step,
    parse_weights,
    scalar,
    totals,
    weighed,
)

_NUMBERS = st.floats(-100, 100)
_WEIGHTS = st.dictionaries(st.sampled_from([*WHOLE, *STEPWISE]), _NUMBERS, min_size=1)
_STEPS = 6
_REWARDS = st.builds(
    Rewards,
    parts=st.dictionaries(st.sampled_from([*WHOLE]), _NUMBERS),
    steps=st.lists(
        st.builds(
            StepRewards,
            index=st.integers(0, _STEPS - 1),
            parts=st.dictionaries(st.sampled_from([*STEPWISE]), _NUMBERS, min_size=1),
        ),
        max_size=_STEPS,
        unique_by=lambda one: one.index,
    ),
)


def near(value: float) -> object:
    return pytest.approx(value, rel=1e-9, abs=1e-9)


@given(_REWARDS, _WEIGHTS, _NUMBERS)
def test_it_is_linear_in_the_weights(rewards: Rewards, weights: dict[str, float], factor: float):
    scaled = {name: factor * weight for name, weight in weights.items()}
    assert scalar(rewards, scaled) == near(factor * scalar(rewards, weights))
    apart = math.fsum(scalar(rewards, {name: weight}) for name, weight in weights.items())
    assert scalar(rewards, weights) == near(apart)


@given(_REWARDS, _WEIGHTS)
def test_spread_over_the_steps_it_is_the_same(rewards: Rewards, weights: dict[str, float]):
    spread = by_step(rewards, weights, _STEPS)
    assert len(spread) == _STEPS
    assert math.fsum(spread) == near(scalar(rewards, weights))


@given(_REWARDS, _WEIGHTS)
def test_weighed_with_what_is_stored_it_is_what_is_stored(rewards: Rewards, weights: dict[str, float]):
    stored = weighed(rewards, weights)
    again = Rewards.model_validate_json(stored.to_json())
    assert again == stored
    assert scalar(again, again.weights) == again.scalar
    assert weighed(again, weights) == stored


def test_by_default_it_is_the_verifiers_word():
    for reward in (0.0, 0.25, 1.0):
        rewards = Rewards(parts={"terminal": reward, "partial": 0.5}, steps=[StepRewards(index=1, parts={"lint": -3})])
        assert weighed(rewards, parse_weights(DEFAULT)).scalar == reward


def test_a_part_of_steps_that_was_measured_and_never_changed_is_zero_and_not_missing():
    rewards = weighed(Rewards(missing={"lint": "too big"}), {"progress": 1.0, "lint": 1.0})
    assert totals(rewards) == {"progress": 0.0}


def test_an_attempt_without_steps_has_its_parts_nevertheless():
    assert by_step(Rewards(parts={"terminal": 1.0}), {"terminal": 2.0}, 0) == [2.0]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no weight"),
        ("reward=1", "there is no reward part 'reward'"),
        ("terminal", "write terminal=0.5"),
        ("terminal=much", "is no number"),
        ("terminal=nan", "is no number"),
        ("terminal=1,progress=inf", "the weight of progress is no number"),
        ("terminal=1,terminal=2", "two weights"),
    ],
)
def test_weights_that_make_no_sense_are_told_in_one_line(text: str, words: str):
    with pytest.raises(ValueError, match=words) as told:
        parse_weights(text)
    assert "\n" not in str(told.value)


def test_weights_are_read():
    assert parse_weights(" terminal = 1 , regression=-0.5,") == {"terminal": 1.0, "regression": -0.5}
