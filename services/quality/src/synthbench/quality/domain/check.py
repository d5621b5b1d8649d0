"""The Check protocol: what a check is given, what it answers, and how its score enters the verdict."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from synthbench.contracts.events import Score
from synthbench.contracts.trajectory import Trajectory
from synthbench.contracts.verification import VerificationResult


@dataclass(frozen=True)
class CheckInput:
    """Everything that a check may look at."""

    trajectory: Trajectory
    second: VerificationResult | None
    """The second verification; None where none could be had."""


class CheckStatus(StrEnum):
    """Whether a check is sure of its score."""

    CERTAIN = "certain"
    UNCERTAIN = "uncertain"
    """The trajectory goes to people, whatever its score."""


@dataclass(frozen=True)
class CheckResult:
    """The answer of a check about one trajectory.

    Raises:
        ValueError: the score is not within 0..1.
    """

    score: float
    """0..1."""
    finding: str = ""
    """One line: what was found, citing steps where it can; empty where nothing is wrong."""
    status: CheckStatus = CheckStatus.CERTAIN

    def __post_init__(self) -> None:
        if not 0.0 <= self.score <= 1.0:
            raise ValueError(f"a score is a number from 0 to 1, not {self.score}")


@dataclass(frozen=True)
class Gate:
    """The score multiplies the aggregate: 0 rejects the trajectory."""


@dataclass(frozen=True)
class Weight:
    """The score enters the aggregate as a factor of a geometric mean.

    Raises:
        ValueError: the exponent is not above 0.
    """

    exponent: float
    """Above 0; over all checks that ran, the exponents are scaled to 1."""
    required: bool = False
    """Whether only a score of 1 can be accepted."""

    def __post_init__(self) -> None:
        if not self.exponent > 0:
            raise ValueError(f"the exponent of a weight is a number above 0, not {self.exponent}")


class Check(Protocol):
    """A check, found by the entry point `synthbench.checks`."""

    name: str
    """Name of the check, as it stands in `trajectory.scored`; no two checks share one."""
    version: str
    """Changes whenever the same trajectory could get another score."""

    @property
    def effect(self) -> Gate | Weight:
        """The way in which the score enters the verdict; an attribute of the class will do."""
        ...

    def run(self, given: CheckInput) -> CheckResult:
        """Score a trajectory. Pure: the same trajectory always gets the same score."""
        ...


@dataclass(frozen=True)
class CheckRun:
    """A check and its answer."""

    check: Check
    result: CheckResult

    @property
    def as_score(self) -> Score:
        """The answer as it stands in `trajectory.scored`."""
        result = self.result
        return Score(check=self.check.name, version=self.check.version, score=result.score, finding=result.finding)
