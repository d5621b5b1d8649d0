"""Events from a stored trajectory to a curated one."""

from enum import StrEnum
from uuid import UUID

from synthbench.contracts.events.scope import AttemptEvent
from synthbench.contracts.model import Record
from synthbench.contracts.numbers import Real
from synthbench.contracts.records import ArtifactRef
from synthbench.contracts.text import Name, Text
from synthbench.contracts.trajectory import TrajectorySummary
from synthbench.contracts.verification import VerificationResult


class Verdict(StrEnum):
    """The verdict of the quality policy on a trajectory. It is a label; nothing is deleted."""

    ACCEPT = "accept"
    REVIEW = "review"
    REJECT = "reject"


class CurationStatus(StrEnum):
    """The decision of diversity on a trajectory."""

    ADMITTED = "admitted"
    DUPLICATE = "duplicate"
    CAPPED = "capped"


class TrajectoryDone(AttemptEvent):
    """The counted trajectory of a rollout is stored and was read back."""

    trajectory_id: UUID
    artifact: ArtifactRef
    summary: TrajectorySummary
    verification: VerificationResult | None = None
    diff: ArtifactRef | None = None
    pool: Name


class Score(Record):
    """One check of the quality filter."""

    check: Name
    """`validity`, `correctness`, `completeness`, …"""
    version: Name
    score: Real
    """0..1."""
    finding: Text = ""
    """One line: what was found, citing steps where it can."""


class TrajectoryScored(AttemptEvent):
    """Every check's score and finding, and the verdict."""

    trajectory_id: UUID
    artifact: ArtifactRef
    summary: TrajectorySummary
    scores: list[Score] = []
    aggregate: Real
    """0..1, QUALITY.md's formula over the checks that ran."""
    verdict: Verdict
    policy: Name
    """Name and version of the policy, such as `default-1`."""


class TrajectoryCurated(AttemptEvent):
    """The end of the road of a trajectory."""

    trajectory_id: UUID
    status: CurationStatus
    duplicate_of: UUID | None = None
    similarity: Real | None = None
    """Estimated Jaccard similarity to the nearest one before it, 0..1; 1.0 for an exact copy."""
    novelty: Real | None = None
    """1 - similarity."""
    verdict: Verdict
    policy: Name
