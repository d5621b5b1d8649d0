"""Base classes of events. Every event carries the submission, campaign, rollout and attempt that exist for it."""

from uuid import UUID

from pydantic import Field

from synthbench.contracts.model import Record
from synthbench.contracts.numbers import LARGEST_INT
from synthbench.contracts.scope import AttemptScope
from synthbench.contracts.text import Name


class SubmissionEvent(Record):
    """An event about a submission."""

    submission_id: UUID
    campaign: Name = "default"


class RolloutEvent(SubmissionEvent):
    """An event about a rollout."""

    rollout_id: UUID


class AttemptEvent(RolloutEvent):
    """An event about one attempt. The number is the fence: an older attempt never overrules a newer one."""

    attempt: int = Field(ge=1, le=LARGEST_INT)

    @property
    def attempt_scope(self) -> AttemptScope:
        """The attempt that the event is about."""
        return AttemptScope(self.submission_id, self.campaign, self.rollout_id, self.attempt)
