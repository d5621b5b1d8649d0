"""Running a task's tests again, on demand."""

from uuid import UUID

from synthbench.contracts.events.scope import AttemptEvent
from synthbench.contracts.records import ArtifactRef, Digest
from synthbench.contracts.text import Name
from synthbench.contracts.verification import VerificationResult


class VerificationRequested(AttemptEvent):
    """Verify this diff against this task in fresh sandboxes."""

    verification_id: UUID
    requested_by: Name
    pool: Name
    task_digest: Digest
    diff: ArtifactRef | None = None
    """The agent's change; None for an empty one."""


class VerificationFinished(AttemptEvent):
    """The answer to a `verification.requested`."""

    verification_id: UUID
    requested_by: Name
    executor: Name
    result: VerificationResult
