"""The policy that makes a verdict of scores. A verdict is a label; nothing is deleted. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from synthbench.contracts.events import Verdict
from synthbench.quality.domain.check import CheckRun, CheckStatus, Gate, Weight


@dataclass(frozen=True)
class QualityPolicy:
    """A version of the rules; a stored trajectory can be judged again under another one."""

    name: str = "default-1"
    accept_aggregate: float = 0.7


@dataclass(frozen=True)
class QualityDecision:
    """The verdict, and the number behind it."""

    verdict: Verdict
    aggregate: float


def aggregate(runs: Sequence[CheckRun]) -> float:
    """The gates' scores times the geometric mean of the weighted ones, exponents scaled to 1; 0..1."""
    total = sum(run.check.effect.exponent for run in runs if isinstance(run.check.effect, Weight))
    product = 1.0
    for run in runs:
        match run.check.effect:
            case Gate():
                product *= run.result.score
            case Weight(exponent):
                product *= run.result.score ** (exponent / total)
    return product


def decide(policy: QualityPolicy, runs: Sequence[CheckRun], *, forgeable: bool) -> QualityDecision:
    """Accept what is correct and good enough; send to people what is uncertain; reject the rest."""
    number = aggregate(runs)
    required = [run.result.score for run in runs if isinstance(run.check.effect, Weight) and run.check.effect.required]
    correct = bool(required) and all(score == 1.0 for score in required)
    uncertain = any(run.result.status is CheckStatus.UNCERTAIN for run in runs)
    if uncertain or (forgeable and correct):
        return QualityDecision(Verdict.REVIEW, number)
    accepted = correct and number >= policy.accept_aggregate
    return QualityDecision(Verdict.ACCEPT if accepted else Verdict.REJECT, number)
