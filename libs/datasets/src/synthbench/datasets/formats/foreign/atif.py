"""ATIF of anybody; what we wrote ourselves is read back whole."""

import json
from collections import Counter
from typing import Any

from pydantic import ValidationError

from synthbench.contracts.loose import as_object
from synthbench.contracts.records import Outcome, Usage
from synthbench.contracts.steps import Action, Observation, Step, ToolCall
from synthbench.datasets.formats.atif import AtifStep, AtifTrajectory
from synthbench.datasets.formats.atif_mapping import from_atif
from synthbench.datasets.formats.foreign.building import (
    NEVER,
    Foreign,
    ForeignError,
    Source,
    as_text,
    moment,
    parts_left_out,
)

_READ = ("ATIF-v1.5", "ATIF-v1.6", "ATIF-v1.7", "ATIF-v1.8")
_CARRIED = {"step_id", "timestamp", "source", "message", "model_name", "reasoning_content", "tool_calls", "observation",
            "metrics", "llm_call_count"}  # fmt: skip


def read_atif(document: Any, source: Source) -> Foreign:  # noqa: ARG001 - as the other readers
    """Read one.

    Raises:
        ForeignError: it is none, breaks the format's rules, or is of a version that we do not know.
    """
    found = as_object(document)
    version = str(found.get("schema_version"))
    if version not in _READ:
        raise ForeignError(f"schema_version {version[:40]!r}: known are {', '.join(_READ)}")
    try:
        read = AtifTrajectory.model_validate({**found, "schema_version": _READ[-1]})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise ForeignError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}".lstrip(": ")) from error
    if "synthbench" in (read.extra or {}):
        return _ours(read)
    agent = [step for step in read.steps if step.source == "agent"]
    said = [step for step in read.steps if step.source != "agent" and step.step_id < (agent[0].step_id if agent else 0)]
    later = [step for step in read.steps if step.source != "agent" and step not in said]
    tools = read.agent.tool_definitions or []
    left_out: Counter[str] = Counter(f"steps[].{name}" for step in read.steps for name in _beside(step))
    left_out += sum((parts_left_out(step.message) for step in read.steps), Counter[str]())
    for name in ("notes", "extra", "continued_trajectory_ref", "subagent_trajectories", "session_id"):
        if getattr(read, name) is not None:
            left_out[name] += 1
    return Foreign(
        scaffold=read.agent.name,
        version=read.agent.version,
        model=read.agent.model_name or next((step.model_name for step in agent if step.model_name), ""),
        task=read.trajectory_id or "",
        instruction="\n\n".join(as_text(step.message) for step in said if step.source == "user"),
        system_prompt="".join(as_text(step.message) for step in said if step.source == "system"),
        tools=json.dumps(tools, ensure_ascii=False),
        steps=[_step(step, [one for one in later if _follows(one, step, agent)]) for step in agent],
        outcome=Outcome.UNSOLVED,
        detail="ATIF; nobody says how it ended",
        left_out=left_out,
    )


def _ours(read: AtifTrajectory) -> Foreign:
    try:
        made = from_atif(read)
    except ValueError as error:
        raise ForeignError(f"extra.synthbench: {str(error).splitlines()[0]}") from error
    context = made.context
    return Foreign(
        scaffold=made.rollout.scaffold, version=context.scaffold_version, model=made.rollout.route,
        task=made.rollout.task.name, instruction=context.instruction, system_prompt=context.system_prompt,
        tools=context.tools, steps=list(made.steps), outcome=made.outcome, detail=made.detail,
        resolved=made.outcome is Outcome.SOLVED, patch=made.patch, started_at=made.started_at,
        finished_at=made.finished_at,
        left_out=Counter({"its place in our own campaigns (ids, verification, rewards)": 1}),
    )  # fmt: skip


def _beside(step: AtifStep) -> list[str]:
    return [name for name in type(step).model_fields if name not in _CARRIED and getattr(step, name) is not None]


def _follows(said: AtifStep, step: AtifStep, agent: list[AtifStep]) -> bool:
    """Whether a word of the user belongs behind this step: it is the last one before it."""
    return max(one.step_id for one in agent if one.step_id < said.step_id) == step.step_id


def _step(step: AtifStep, said: list[AtifStep]) -> Step:
    at = moment(step.timestamp) or NEVER
    metrics = step.metrics
    answers = [
        Observation(tool_call_id=one.source_call_id or "", content=as_text(one.content)) for one in step.results
    ] + [Observation(content=as_text(one.message)) for one in said]
    cost = metrics.cost_usd if metrics else None
    return Step(
        started_at=at,
        finished_at=at,
        action=Action(
            message=as_text(step.message),
            reasoning=step.reasoning_content or "",
            tool_calls=[
                ToolCall(
                    id=call.tool_call_id,
                    name=call.function_name,
                    arguments=json.dumps(call.arguments, ensure_ascii=False),
                )
                for call in step.tool_calls or []
            ],
        ),
        observations=answers,
        usage=Usage(
            calls=1 if step.llm_call_count is None else step.llm_call_count,
            input_tokens=(metrics.prompt_tokens or 0) if metrics else 0,
            cached_tokens=(metrics.cached_tokens or 0) if metrics else 0,
            output_tokens=(metrics.completion_tokens or 0) if metrics else 0,
            cost_microusd=round((cost or 0) * 1_000_000),
            cost_known=cost is not None,
        ),
        native=json.dumps(step.model_dump(mode="json", exclude_none=True), ensure_ascii=False),
    )
