"""The progress of a submission, from its events alone. Pure."""

from dataclasses import dataclass, field
from uuid import UUID

from synthbench.contracts.cloudevents import Envelope
from synthbench.contracts.events import (
    AttemptClosed,
    AttemptFinished,
    AttemptStarted,
    StepRecorded,
    TaskAccepted,
    TaskRejected,
    TrajectoryCurated,
    TrajectoryScored,
)
from synthbench.contracts.records import FieldError

FOLLOWED = (
    "task.accepted",
    "task.rejected",
    "attempt.started",
    "step.recorded",
    "attempt.finished",
    "attempt.closed",
    "trajectory.scored",
    "trajectory.curated",
)
"""Events that a follower listens to."""


@dataclass
class RolloutProgress:
    """One rollout of the submission."""

    rollout_id: UUID
    attempt: int = 0
    steps: int = 0
    started: AttemptStarted | None = None
    finished: AttemptFinished | None = None
    closed: AttemptClosed | None = None
    scored: TrajectoryScored | None = None
    curated: TrajectoryCurated | None = None

    @property
    def stage(self) -> str:
        """One word for a status line."""
        if self.curated:
            return "curated"
        if self.scored:
            return "scored"
        if self.closed and self.closed.counted:
            return "recorded"
        if self.finished:
            return "verified"
        return "running" if self.started else "queued"


@dataclass
class Progress:
    """One submission."""

    submission_id: UUID
    accepted: TaskAccepted | None = None
    rejected: list[FieldError] = field(default_factory=list[FieldError])
    rollouts: dict[UUID, RolloutProgress] = field(default_factory=dict[UUID, RolloutProgress])
    state: str = ""
    """The state that the scheduler's API reports where no event tells of an end; empty while it is open."""
    detail: str = ""
    """The last reason that the scheduler knows."""

    @property
    def over(self) -> bool:
        """Whether nothing more will happen."""
        return self.curated or bool(self.rejected) or bool(self.state)

    @property
    def curated(self) -> bool:
        """Whether every rollout has reached the end of the road."""
        return self.accepted is not None and all(
            rollout_id in self.rollouts and self.rollouts[rollout_id].curated is not None
            for rollout_id in self.accepted.rollout_ids
        )

    def apply(self, envelope: Envelope) -> bool:  # noqa: C901 - one case for each event
        """Take an event in; False if it is about another submission."""
        body = envelope.body
        if getattr(body, "submission_id", None) != self.submission_id:
            return False
        match body:
            case TaskAccepted():
                self.accepted = body
                for rollout_id in body.rollout_ids:
                    self._rollout(rollout_id)
            case TaskRejected():
                self.rejected = body.errors
            case AttemptStarted():
                rollout = self._rollout(body.rollout_id)
                rollout.started, rollout.attempt, rollout.steps = body, body.attempt, 0
            case StepRecorded():
                rollout = self._rollout(body.rollout_id)
                rollout.steps = max(rollout.steps, body.step.index + 1)
            case AttemptFinished():
                self._rollout(body.rollout_id).finished = body
            case AttemptClosed():
                self._rollout(body.rollout_id).closed = body
            case TrajectoryScored():
                self._rollout(body.rollout_id).scored = body
            case TrajectoryCurated():
                self._rollout(body.rollout_id).curated = body
            case _:
                pass
        return True

    def _rollout(self, rollout_id: UUID) -> RolloutProgress:
        return self.rollouts.setdefault(rollout_id, RolloutProgress(rollout_id))
