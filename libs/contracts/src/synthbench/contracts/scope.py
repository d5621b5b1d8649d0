"""The attempt that something is about, with the rollout, submission and campaign to which it belongs, as one value."""

from typing import NamedTuple, TypedDict
from uuid import UUID


class SubmissionFields(TypedDict):
    """The fields by which an event names its submission."""

    submission_id: UUID
    campaign: str


class RolloutFields(SubmissionFields):
    """The fields by which an event names its rollout."""

    rollout_id: UUID


class AttemptFields(RolloutFields):
    """The fields by which an event names its attempt."""

    attempt: int


class AttemptScope(NamedTuple):
    """One attempt. The attempt number is the fence: an older one never overrules a newer one."""

    submission_id: UUID
    campaign: str
    rollout_id: UUID
    attempt: int

    @property
    def submission_fields(self) -> SubmissionFields:
        """The submission as events carry it."""
        return {"submission_id": self.submission_id, "campaign": self.campaign}

    @property
    def fields(self) -> AttemptFields:
        """The attempt as events carry it: side by side with their other fields."""
        return {**self.submission_fields, "rollout_id": self.rollout_id, "attempt": self.attempt}
