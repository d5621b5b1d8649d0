"""Which submission, campaign, rollout and attempt an event is about. Every event carries those that exist."""

from uuid import UUID

from pydantic import Field

from synthbench.contracts.model import Record
from synthbench.contracts.numbers import LARGEST_INT
from synthbench.contracts.text import Name


class SubmissionEvent(Record):
    """About a submission."""

    submission_id: UUID
    campaign: Name = "default"


class RolloutEvent(SubmissionEvent):
    """About a rollout."""

    rollout_id: UUID


class AttemptEvent(RolloutEvent):
    """About one attempt. The attempt number is the fence: an older one never overrules a newer one."""

    attempt: int = Field(ge=1, le=LARGEST_INT)
