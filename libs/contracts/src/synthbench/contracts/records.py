"""Values that several events carry."""

from enum import StrEnum
from typing import Annotated
from uuid import UUID

from pydantic import Field, StringConstraints

from synthbench.contracts.model import Record
from synthbench.contracts.numbers import LARGEST, LARGEST_INT, Count, Integer, Moment, Real, SmallCount
from synthbench.contracts.sampling import Sampling
from synthbench.contracts.scope import AttemptScope, RolloutFields
from synthbench.contracts.text import Line, Name, Text

Digest = Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")]
"""A content digest, `sha256:` and 64 hex digits."""

Address = Annotated[str, StringConstraints(max_length=1024, pattern=r"^[^\x00-\x20\x7f]*$")]
"""An address in the artifact store, without white space."""

Label = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/:@+-]{0,127}$")]
"""A name that people choose: campaigns, tasks, scaffolds, routes."""

DEFAULT_POOLS = ("bubblewrap", "docker", "process")
"""The pools of the sandbox engines that come with synth-bench. Each has a ready queue in every deployment; settings
(`SYNTHBENCH_POOLS`) may name the pools of further engines."""

Pool = Annotated[str, StringConstraints(pattern=r"^[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?$")]
"""Name of a pool, which is the name of its sandbox engine: one token of the subjects that are made of it."""


class Outcome(StrEnum):
    """The ways in which an attempt ends, as the agent's doing; `infra_error` means that we failed, not the agent."""

    SOLVED = "solved"
    UNSOLVED = "unsolved"
    GAVE_UP = "gave_up"
    STEP_LIMIT = "step_limit"
    TOKEN_LIMIT = "token_limit"  # noqa: S105 - an outcome, no secret
    COST_LIMIT = "cost_limit"
    TIME_LIMIT = "time_limit"
    AGENT_ERROR = "agent_error"
    INFRA_ERROR = "infra_error"
    CANCELLED = "cancelled"

    @property
    def gradable(self) -> bool:
        """Whether the agent is answerable for it: neither our own failure nor a cancel is."""
        return self not in (Outcome.INFRA_ERROR, Outcome.CANCELLED)


class Priority(StrEnum):
    """The ready queues, the first drained first."""

    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"


class ArtifactRef(Record):
    """A reference to a body in the artifact store, with the digest that it must have."""

    uri: Address
    """`artifact://sha256/<hex>` or `artifact://key/<key>`, resolved by the store that a deployment configures."""
    digest: Digest
    size: Count = 0
    """Bytes."""
    media_type: Name = "application/octet-stream"


class KeptFile(Record):
    """A file from the sandbox that the task wants to keep, or that an agent left beside its work."""

    path: Text
    """As the task names it; `agent/…` for what the agent printed and wrote down."""
    artifact: ArtifactRef | None = None
    """A tar of it, or the file itself, by its media type; None where there is none, or it could not be kept."""
    problem: Line = ""
    """Why it could not be kept."""


class FieldError(Record):
    """One thing that is wrong in what somebody sent."""

    field: Name = ""
    """Dotted path; empty for the whole."""
    message: Line


class Usage(Record):
    """Tokens of one model call or of many, normalised by the llm-gateway.

    Cached tokens are counted inside `input_tokens` (OpenAI's way; Anthropic's are added in), reasoning tokens
    inside `output_tokens`.
    """

    calls: Count = 0
    input_tokens: Count = 0
    cached_tokens: Count = 0
    cache_write_tokens: Count = 0
    """Inside `input_tokens`: written to the provider's cache, for however long."""
    cache_write_1h_tokens: Count = 0
    """Those of them that are kept for an hour and have a price of their own."""
    output_tokens: Count = 0
    reasoning_tokens: Count = 0
    cost_microusd: Count = 0
    """Millionths of a US dollar; 0 where the price is unknown, then `cost_known` is false."""
    cost_known: bool = True

    def __add__(self, other: "Usage") -> "Usage":
        """Add up two usages; the sum's cost is known if both are."""
        numbers = {
            name: getattr(self, name) + getattr(other, name) for name in Usage.model_fields if name != "cost_known"
        }
        return Usage(**numbers, cost_known=self.cost_known and other.cost_known)


class RolloutLimits(Record):
    """The limits of one attempt."""

    max_steps: int = Field(default=50, ge=1, le=1000)
    max_tokens: int = Field(default=1_000_000, ge=1, le=LARGEST)
    """Input plus output tokens over all model calls."""
    max_seconds: float = Field(default=900.0, gt=0, le=86_400)
    """The agent's clock; our own waits (queue, gateway, bus) are left out."""
    max_cost_microusd: int = Field(default=1_000_000, ge=0, le=LARGEST)


class TaskInfo(Record):
    """The properties of a task that are known without opening its package."""

    name: Name
    digest: Digest
    category: Name = "uncategorized"
    difficulty: Name = "medium"
    tags: list[Name] = []
    licence: Name = ""


class ForkPoint(Record):
    """The point at which a rollout branches off a stored trajectory, of which it keeps the steps 0..`step`."""

    trajectory_id: UUID
    artifact: Digest
    """Of the stored trajectory, as the catalogue names it."""
    step: int = Field(ge=0, le=LARGEST_INT)
    """Index of the last step that is kept."""


class Rollout(Record):
    """One planned sample: this task, this scaffold, this model route. Exactly one result of it counts."""

    rollout_id: UUID
    submission_id: UUID
    campaign: Name
    task: TaskInfo
    scaffold: Name
    scaffold_args: dict[Text, Text] = {}
    route: Name = ""
    """A model route of the llm-gateway; empty for scaffolds that use no model (oracle, nop, cheat)."""
    sample: SmallCount = 0
    """Number of this sample among those of its submission, from 0."""
    seed: Integer = 0
    pool: Name
    """The sandbox engine that it needs."""
    priority: Priority = Priority.NORMAL
    limits: RolloutLimits = RolloutLimits()
    allow_unknown_price: bool = False
    simulated: bool = False
    """Made by `sim/*` or by a scaffold without a model; never exported unless asked for by name."""
    sampling: Sampling = Sampling()
    """How the model is asked to answer; `seed` is this sample's own."""
    forked_from: ForkPoint | None = None
    """The trajectory whose first steps every attempt of this rollout begins with."""

    @property
    def rollout_fields(self) -> RolloutFields:
        """The rollout as events carry it: side by side with their other fields."""
        return {"submission_id": self.submission_id, "campaign": self.campaign, "rollout_id": self.rollout_id}

    def attempt_scope(self, attempt: int) -> AttemptScope:
        """The attempt with this number."""
        return AttemptScope(self.submission_id, self.campaign, self.rollout_id, attempt)


class Timing(Record):
    """The seconds that a step or an attempt took, by what they were spent on."""

    model_seconds: Real = 0.0
    tool_seconds: Real = 0.0
    waited_seconds: Real = 0.0
    """Our own waits: queue, gateway retries, bus and journal. Not on the agent's clock."""


class Span(Record):
    """A period of time, in UTC."""

    started_at: Moment
    finished_at: Moment
