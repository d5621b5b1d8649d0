"""The parts of an attempt's reward, and the scalar that follows from weights. Pure.

Parts of the whole attempt are levels. Parts of steps are changes (shaping, as of Ng, Harada and Russell, 1999): over
all steps they add up to where the attempt ended, however it came there.
"""

import math
from collections.abc import Mapping

from pydantic import Field

from synthbench.contracts.model import Record
from synthbench.contracts.numbers import Real, SmallCount
from synthbench.contracts.text import Line, Name

WHOLE = {
    "terminal": "the verifier's reward: 1 if every required test passed, else 0",
    "partial": "share of the required tests that passed, 0..1",
    "fail_to_pass": "share of those that failed in the untouched workspace, 0..1",
    "pass_to_pass": "share of those that passed there, 0..1",
    "efficiency": "if solved, the task's expected steps over the steps taken, at most 1; else 0",
}
STEPWISE = {
    "progress": "required tests that pass after the step and did not before, over all required ones, 0..1",
    "regression": "those that passed before it and do not after, the same with a minus, -1..0",
    "parses": "changed Python, JSON and TOML files that can be read again, minus those that cannot any more",
    "lint": "findings in changed Python files that went away, minus those that came",
}
DEFAULT = "terminal=1"


class StepRewards(Record):
    """The reward parts that one step changed."""

    index: SmallCount = Field(default=0, ge=0)
    parts: dict[Name, Real] = {}


class Rewards(Record):
    """Every part that was measured, and what they come to."""

    parts: dict[Name, Real] = {}
    """Of the whole attempt, by the names in `WHOLE`."""
    steps: list[StepRewards] = []
    """By the names in `STEPWISE`, in the order of the steps; a step that is not here changed nothing that counts."""
    missing: dict[Name, Line] = {}
    """Parts that were wanted and could not be measured, or not of every step, each with the reason."""
    weights: dict[Name, Real] = {}
    scalar: Real = 0.0
    """The sum of weights times parts, those of the steps added up; a missing part adds nothing."""


def parse_weights(text: str) -> dict[str, float]:
    """Read `terminal=1,progress=0.3`: parts by name, each with a finite number.

    Raises:
        ValueError: it is no such thing, in one line.
    """
    weights: dict[str, float] = {}
    for pair in filter(None, (part.strip() for part in text.split(","))):
        name, equals, number = (word.strip() for word in pair.partition("="))
        if name not in WHOLE and name not in STEPWISE:
            raise ValueError(f"there is no reward part {name!r}; there are {', '.join([*WHOLE, *STEPWISE])}")
        try:
            weight = float(number) if equals else math.nan
        except ValueError:
            weight = math.nan
        if not math.isfinite(weight):
            raise ValueError(f"the weight of {name} is no number: write {name}=0.5")
        if name in weights:
            raise ValueError(f"{name} has two weights")
        weights[name] = weight
    if not weights:
        raise ValueError(f"no weight: write {DEFAULT}")
    return weights


def totals(rewards: Rewards) -> dict[str, float]:
    """Every part that was measured, by name; those of the steps added up."""
    found = dict(rewards.parts)
    for name in STEPWISE:
        changes = [step.parts[name] for step in rewards.steps if name in step.parts]
        if changes or (name in rewards.weights and name not in rewards.missing):
            found[name] = math.fsum(changes)
    return found


def scalar(rewards: Rewards, weights: Mapping[str, float]) -> float:
    """The one number under these weights: the sum of each times its part."""
    found = totals(rewards)
    return math.fsum(weight * found[name] for name, weight in weights.items() if name in found)


def by_step(rewards: Rewards, weights: Mapping[str, float], steps: int) -> list[float]:
    """The scalar, spread over so many steps (one at least): changes where they were made, what is of the whole last."""
    changes = {step.index: step.parts for step in rewards.steps}
    spread = [
        math.fsum(weights.get(name, 0.0) * value for name, value in changes.get(index, {}).items())
        for index in range(max(1, steps))
    ]
    spread[-1] += math.fsum(weights.get(name, 0.0) * value for name, value in rewards.parts.items())
    return spread


def weighed(rewards: Rewards, weights: Mapping[str, float]) -> Rewards:
    """The same parts, with these weights and their scalar."""
    with_weights = rewards.model_copy(update={"weights": dict(weights)})
    return with_weights.model_copy(update={"scalar": scalar(with_weights, weights)})
