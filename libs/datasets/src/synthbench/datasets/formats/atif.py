"""ATIF v1.8, Harbor's trajectory format, and its rules; Harbor's own models let some breaches through.

Source: Harbor's RFC "Agent Trajectory Interchange Format" and its models of version 0.25.
"""

from collections.abc import Iterable
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

VERSION = "ATIF-v1.8"
Extra = dict[str, Any]
Content = str | list[dict[str, Any]]
"""Text, or content parts."""


class Atif(BaseModel):
    """Base of ATIF's objects, which have no fields but their own."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class AtifAgent(Atif):
    """The agent, its model, and the tools that it was offered."""

    name: str
    version: str
    model_name: str | None = None
    tool_definitions: list[dict[str, Any]] | None = None
    """Schemas in OpenAI's function format."""
    extra: Extra | None = None


class AtifToolCall(Atif):
    """One tool call of the agent."""

    tool_call_id: str
    function_name: str
    arguments: dict[str, Any]
    extra: Extra | None = None


class AtifSubagentRef(Atif):
    """Another trajectory, in this document or in a file."""

    trajectory_id: str | None = None
    session_id: str | None = None
    trajectory_path: str | None = None
    extra: Extra | None = None


class AtifResult(Atif):
    """The result of one tool call, or of a step without one."""

    source_call_id: str | None = None
    content: Content | None = None
    subagent_trajectory_ref: list[AtifSubagentRef] | None = None
    extra: Extra | None = None


class AtifObservation(Atif):
    """The results that a step got from the environment."""

    results: list[AtifResult]


class AtifMetrics(Atif):
    """Usage of one step's model call; prompt tokens include the cached ones."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int | None = None
    cost_usd: float | None = None
    prompt_token_ids: list[int] | None = None
    completion_token_ids: list[int] | None = None
    logprobs: list[float] | None = None
    extra: Extra | None = None


class AtifFinalMetrics(Atif):
    """Usage of the whole trajectory."""

    total_prompt_tokens: int | None = None
    total_completion_tokens: int | None = None
    total_cached_tokens: int | None = None
    total_cost_usd: float | None = None
    total_steps: int | None = Field(default=None, ge=0)
    extra: Extra | None = None


class AtifStep(Atif):
    """One turn of the system, the user or the agent."""

    step_id: int = Field(ge=1)
    timestamp: str | None = None
    """ISO 8601."""
    source: Literal["system", "user", "agent"]
    message: Content
    model_name: str | None = None
    reasoning_effort: str | float | None = None
    reasoning_content: str | None = None
    tool_calls: list[AtifToolCall] | None = None
    observation: AtifObservation | None = None
    metrics: AtifMetrics | None = None
    is_copied_context: bool | None = None
    llm_call_count: int | None = Field(default=None, ge=0)
    extra: Extra | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        own = ("model_name", "reasoning_effort", "reasoning_content", "tool_calls", "metrics")
        given = [name for name in own if getattr(self, name) is not None]
        if self.source != "agent" and given:
            raise ValueError(f"step {self.step_id}: {given[0]} is for steps of the agent")
        if self.llm_call_count == 0 and (self.metrics is not None or self.reasoning_content is not None):
            raise ValueError(f"step {self.step_id}: without a model call there are no metrics and no reasoning")
        calls = {call.tool_call_id for call in self.tool_calls or []}
        for result in self.results:
            if result.source_call_id is not None and result.source_call_id not in calls:
                raise ValueError(f"step {self.step_id}: it makes no call {result.source_call_id!r}")
        return self

    @property
    def results(self) -> list[AtifResult]:
        """The results of its observation; none where there is no observation."""
        return self.observation.results if self.observation else []


class AtifTrajectory(Atif):
    """The whole document."""

    schema_version: Literal["ATIF-v1.8"] = VERSION
    session_id: str | None = None
    trajectory_id: str | None = None
    agent: AtifAgent
    steps: list[AtifStep] = Field(min_length=1)
    notes: str | None = None
    final_metrics: AtifFinalMetrics | None = None
    continued_trajectory_ref: str | None = None
    extra: Extra | None = None
    subagent_trajectories: list["AtifTrajectory"] | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if [step.step_id for step in self.steps] != list(range(1, len(self.steps) + 1)):
            raise ValueError("step_id counts from 1, without gaps")
        if twice := _first_double(call.tool_call_id for step in self.steps for call in step.tool_calls or []):
            raise ValueError(f"two tool calls have the id {twice!r}")
        total = self.final_metrics.total_steps if self.final_metrics else None
        if total is not None and total != len(self.steps):
            raise ValueError(f"total_steps is {total}, and there are {len(self.steps)} steps")
        inner = [one.trajectory_id for one in self.subagent_trajectories or []]
        if None in inner or _first_double(filter(None, inner)):
            raise ValueError("each of subagent_trajectories needs a trajectory_id of its own")
        for step in self.steps:
            for reference in (one for result in step.results for one in result.subagent_trajectory_ref or []):
                if reference.trajectory_path is None and reference.trajectory_id not in inner:
                    raise ValueError(f"step {step.step_id} refers to a trajectory that is not in this document")
        return self

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types, without what is not set."""
        return self.model_dump(mode="json", exclude_none=True)


def _first_double(names: Iterable[str]) -> str | None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None
