"""From scores to a verdict. It labels, it never deletes. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from synthbench.contracts.events import Score, Verdict

WEIGHTS: Mapping[str, float] = {"correctness": 0.5, "coherence": 0.2, "completeness": 0.2, "efficiency": 0.1}
"""Exponents of the geometric mean; over the checks that ran, they are scaled to 1."""
GATES = ("validity", "integrity")
"""Factors in front of it."""


@dataclass(frozen=True)
class Policy:
    """A version of the rules; a stored trajectory can be judged again under another one."""

    name: str = "default-1"
    accept_aggregate: float = 0.7


@dataclass(frozen=True)
class Decision:
    """The verdict, and the number behind it."""

    verdict: Verdict
    aggregate: float


def aggregate(scores: Sequence[Score]) -> float:
    """G x I x (V^.5 C^.2 K^.2 E^.1), exponents renormalised over the checks that ran; 0..1."""
    by_name = {score.check: score.score for score in scores}
    weights = {name: weight for name, weight in WEIGHTS.items() if name in by_name}
    total = sum(weights.values())
    result = 1.0
    for gate in GATES:
        result *= by_name.get(gate, 1.0)
    for name, weight in weights.items():
        result *= by_name[name] ** (weight / total)
    return result


def decide(policy: Policy, scores: Sequence[Score], *, forgeable: bool) -> Decision:
    """Accept what is correct and good enough; send to people what is uncertain; reject the rest."""
    number = aggregate(scores)
    correctness = next((score for score in scores if score.check == "correctness"), None)
    uncertain = correctness is not None and correctness.finding.startswith(("flaky", "unconfirmed"))
    if uncertain or (forgeable and correctness is not None and correctness.score == 1.0):
        return Decision(Verdict.REVIEW, number)
    correct = correctness is not None and correctness.score == 1.0
    return Decision(Verdict.ACCEPT if correct and number >= policy.accept_aggregate else Verdict.REJECT, number)
