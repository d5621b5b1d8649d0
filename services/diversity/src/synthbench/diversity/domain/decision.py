"""The decision whether a trajectory is admitted, a duplicate, or capped. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from synthbench.contracts.events import CurationStatus, Verdict
from synthbench.diversity.domain.fingerprint import Fingerprint, similarity


@dataclass(frozen=True)
class EarlierTrajectory:
    """An earlier trajectory that may be similar."""

    trajectory_id: UUID
    exact: str
    signature: bytes


@dataclass(frozen=True)
class CurationDecision:
    """Whether a trajectory is admitted, and how similar the nearest earlier one is."""

    status: CurationStatus
    duplicate_of: UUID | None = None
    similarity: float | None = None


def decide(
    own: Fingerprint,
    earlier: Sequence[EarlierTrajectory],
    *,
    threshold: float,
    admitted_of_task: int,
    max_per_task: int | None,
) -> CurationDecision:
    """Decide from the similarity to earlier trajectories, and from how many of the same task were admitted.

    Args:
        own: fingerprint of the trajectory.
        earlier: trajectories that came before and may be similar.
        threshold: estimated Jaccard similarity from which it is a duplicate, 0..1.
        admitted_of_task: how many trajectories of its task were admitted before.
        max_per_task: how many are admitted at most; None for any number.
    """
    nearest = max(((_alike(own, other), other) for other in earlier), key=lambda pair: pair[0], default=None)
    if nearest and nearest[0] >= threshold:
        return CurationDecision(CurationStatus.DUPLICATE, nearest[1].trajectory_id, nearest[0])
    found = nearest[0] if nearest else None
    if max_per_task is not None and admitted_of_task >= max_per_task:
        return CurationDecision(CurationStatus.CAPPED, None, found)
    return CurationDecision(CurationStatus.ADMITTED, None, found)


def _alike(own: Fingerprint, other: EarlierTrajectory) -> float:
    return 1.0 if own.exact == other.exact else similarity(own.signature, other.signature)


def comparison_class(verdict: Verdict, *, simulated: bool) -> str:
    """Name the class whose trajectories are compared with each other.

    Simulated ones are compared with simulated ones, and a rejected one never makes an accepted one a duplicate.
    """
    return f"{'simulated' if simulated else 'real'}/{'rejected' if verdict is Verdict.REJECT else 'kept'}"
