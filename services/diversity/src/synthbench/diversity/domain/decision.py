"""Admitted, duplicate, or capped. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from synthbench.contracts.events import CurationStatus, Verdict
from synthbench.diversity.domain.fingerprint import Fingerprint, similarity


@dataclass(frozen=True)
class Known:
    """An earlier trajectory that may be similar."""

    trajectory_id: UUID
    exact: str
    signature: bytes


@dataclass(frozen=True)
class Decision:
    """What becomes of a trajectory."""

    status: CurationStatus
    duplicate_of: UUID | None = None
    similarity: float | None = None


def decide(
    own: Fingerprint, known: Sequence[Known], *, threshold: float, admitted_of_task: int, max_per_task: int | None
) -> Decision:
    """Compare with what came before."""
    nearest = max(((_alike(own, other), other) for other in known), key=lambda pair: pair[0], default=None)
    if nearest and nearest[0] >= threshold:
        return Decision(CurationStatus.DUPLICATE, nearest[1].trajectory_id, nearest[0])
    found = nearest[0] if nearest else None
    if max_per_task is not None and admitted_of_task >= max_per_task:
        return Decision(CurationStatus.CAPPED, None, found)
    return Decision(CurationStatus.ADMITTED, None, found)


def _alike(own: Fingerprint, other: Known) -> float:
    return 1.0 if own.exact == other.exact else similarity(own.signature, other.signature)


def comparison_class(verdict: Verdict, *, simulated: bool) -> str:
    """What is compared with what: simulated with simulated, and a reject never makes an accepted one a duplicate."""
    return f"{'simulated' if simulated else 'real'}/{'rejected' if verdict is Verdict.REJECT else 'kept'}"
