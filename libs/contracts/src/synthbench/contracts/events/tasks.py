"""Events from a submission to rollouts that are ready to run."""

from typing import Annotated
from uuid import UUID

from pydantic import ConfigDict, Field, StringConstraints, model_validator

from synthbench.contracts.events.scope import RolloutEvent, SubmissionEvent
from synthbench.contracts.model import Record
from synthbench.contracts.numbers import LARGEST
from synthbench.contracts.records import FieldError, ForkPoint, Label, Priority, Rollout, TaskInfo
from synthbench.contracts.sampling import Sampling
from synthbench.contracts.text import NAME_CHARACTERS, WITHOUT_NUL, Argument, Line, Name

DEFAULT_COST_CAP_MICROUSD = 1_000_000


class TaskSubmitted(Record):
    """Anyone asks for trajectories of one task. The only required field is `task`."""

    model_config = ConfigDict(extra="forbid")

    task: Annotated[str, StringConstraints(min_length=1, max_length=NAME_CHARACTERS), WITHOUT_NUL]
    """A library task's name, or the artifact digest `sha256:…` of an uploaded package; never a path or a URL."""
    submission_id: UUID | None = None
    """Chosen by the submitter, so that sending twice submits once; else derived from the event's id."""
    campaign: Label = "default"
    scaffold: Label = "native"
    scaffold_args: dict[Argument, Argument] = {}
    route: Annotated[str, StringConstraints(max_length=128), WITHOUT_NUL] = ""
    """A model route, such as `sim/expert` or `openai/gpt-5`; empty for scaffolds that use no model."""
    samples: int = Field(default=1, ge=1, le=1000)
    priority: Priority = Priority.NORMAL
    engine: Label | None = None
    """The sandbox engine to use; by default the deployment's first one that can run the task."""
    seed: int = Field(default=0, ge=-LARGEST, le=LARGEST)
    max_cost_microusd: int = Field(default=DEFAULT_COST_CAP_MICROUSD, ge=0, le=LARGEST)
    """Cap over all samples together, in millionths of a US dollar."""
    allow_unknown_price: bool = False
    max_steps: int | None = Field(default=None, ge=1, le=1000)
    max_tokens: int | None = Field(default=None, ge=1, le=LARGEST)
    max_seconds: float | None = Field(default=None, gt=0, le=86_400)
    fork: ForkPoint | None = None
    """Begin with the first steps of a stored trajectory of the same task; only for scaffolds that can resume."""
    sampling: Sampling = Sampling()
    """How the model is asked to answer. A `seed` of the submission other than 0 counts as `sampling.seed`, too."""
    campaign_cost_microusd: int | None = Field(default=None, ge=0, le=LARGEST)
    """Cap over everything that the campaign spends; the newest submission that names one sets it."""


class TaskAccepted(SubmissionEvent):
    """The submission became these rollouts."""

    submitter: Name = "client"
    """Who submitted it, as the bus proved it."""
    task: TaskInfo
    rollout_ids: list[UUID] = []
    pool: Name
    simulated: bool = False


class TaskRejected(Record):
    """The submission is refused, field by field. Its submitter alone is told."""

    submission_id: UUID
    """As the submitter named it; one of its own where that names somebody else's, or one that was answered before."""
    submitter: Name = "client"
    """Who submitted it, as the bus proved it."""
    errors: list[FieldError] = []


class TaskReady(RolloutEvent):
    """One rollout for the executors of its pool to claim."""

    rollout: Rollout


class CancelRequested(Record):
    """Stop a submission, a campaign or a rollout: exactly one of them is named."""

    submission_id: UUID | None = None
    campaign: Label | None = None
    rollout_id: UUID | None = None
    reason: Line = ""

    @model_validator(mode="after")
    def _exactly_one(self) -> "CancelRequested":
        if sum(x is not None for x in (self.submission_id, self.campaign, self.rollout_id)) != 1:
            raise ValueError("name exactly one of submission_id, campaign, rollout_id")
        return self
