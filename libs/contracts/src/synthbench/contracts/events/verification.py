"""Running a task's tests again, on demand."""

from uuid import UUID

from synthbench.contracts.events.scope import AttemptEvent
from synthbench.contracts.records import ArtifactRef, Digest, Pool
from synthbench.contracts.text import Name
from synthbench.contracts.verification import VerificationResult


class VerificationRequested(AttemptEvent):
    """Verify this diff against this task in fresh sandboxes."""

    verification_id: UUID
    """Chosen by who asks, among his own: another asker's of the same id is another verification."""
    requested_by: Name = ""
    """What the asker calls himself. The answer names who the bus says it was, and that alone counts."""
    pool: Pool
    task_digest: Digest
    diff: ArtifactRef | None = None
    """The agent's change; None for an empty one."""


class VerificationFinished(AttemptEvent):
    """The answer to a `verification.requested`."""

    verification_id: UUID
    requested_by: Name
    """Who asked, as the bus proved it: a service, a client or the operator."""
    executor: Name
    result: VerificationResult
