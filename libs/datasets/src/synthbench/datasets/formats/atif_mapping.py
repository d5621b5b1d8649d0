"""Canonical trajectory to ATIF and back: what ATIF has no field for goes into `extra.synthbench`.

Source: docs/exports.md says field by field where it goes, and what is lost.
"""

import json
from typing import Any, cast

from synthbench.contracts.loose import as_object
from synthbench.contracts.trajectory import AttemptContext, Trajectory
from synthbench.datasets.formats.atif import AtifAgent, AtifFinalMetrics, AtifStep, AtifTrajectory
from synthbench.datasets.formats.atif_steps import loaded, ours, read_steps, write_steps
from synthbench.datasets.formats.messages import tools_offered
from synthbench.datasets.formats.provenance import OURS

LEFT_OUT = "left_out"
"""Key in `extra.synthbench` of the counts of what the document does not carry; an import takes them over."""


def to_atif(trajectory: Trajectory) -> AtifTrajectory:
    """Write a trajectory as ATIF: a step of the system, one of the user, then one of the agent for each of ours."""
    context, rollout = trajectory.context, trajectory.rollout
    rest = trajectory.model_dump(
        mode="json",
        exclude={
            "steps": True,
            "trajectory_id": True,
            "schema_version": True,
            "context": {"instruction", "system_prompt", "tools", "scaffold_version"},
        },
        exclude_defaults=True,
    )
    rest["reward"] = trajectory.reward
    if left_out := _left_out(trajectory):
        rest[LEFT_OUT] = left_out
    tools = _tools(context.tools)
    if tools is None or json.dumps(tools, ensure_ascii=False) != context.tools:
        rest["tools"] = context.tools
    if tools == []:
        tools = _objects(tools_offered(trajectory))
        if tools:
            rest["tools"] = context.tools
    steps: list[AtifStep] = []
    if context.system_prompt:
        steps.append(AtifStep(step_id=1, source="system", message=context.system_prompt))
    steps.append(AtifStep(step_id=len(steps) + 1, source="user", message=context.instruction))
    steps += write_steps(trajectory.steps, context, first=len(steps) + 1)
    usage = trajectory.usage
    return AtifTrajectory(
        session_id=str(rollout.rollout_id),
        trajectory_id=str(trajectory.trajectory_id),
        agent=AtifAgent(
            name=rollout.scaffold,
            version=context.scaffold_version,
            model_name=rollout.route or None,
            tool_definitions=tools or None,
        ),
        steps=steps,
        final_metrics=AtifFinalMetrics(
            total_prompt_tokens=usage.input_tokens,
            total_completion_tokens=usage.output_tokens,
            total_cached_tokens=usage.cached_tokens,
            total_cost_usd=usage.cost_microusd / 1_000_000 if usage.cost_known else None,
            total_steps=len(steps),
        ),
        extra={OURS: rest},
    )


def atif_document(trajectory: Trajectory) -> dict[str, Any]:
    """Write a trajectory as ATIF, as JSON types: the export format `atif`."""
    return to_atif(trajectory).to_dict()


def from_atif(document: AtifTrajectory) -> Trajectory:
    """Read back what `to_atif` wrote.

    Raises:
        ValueError: `to_atif` did not write this document.
    """
    rest = ours(document.extra)
    if not rest:
        raise ValueError("this ATIF document was not written by synth-bench: it has no extra.synthbench")
    texts = {step.source: step.message for step in document.steps if step.source != "agent"}
    tools = document.agent.tool_definitions or []
    context = AttemptContext.model_validate(
        {
            **as_object(rest.get("context")),
            "instruction": texts.get("user", ""),
            "system_prompt": texts.get("system", ""),
            "tools": rest.pop("tools", json.dumps(tools, ensure_ascii=False)),
            "scaffold_version": document.agent.version,
        }
    )
    steps = read_steps([step for step in document.steps if step.source == "agent"], context)
    return Trajectory.model_validate(
        {**rest, "trajectory_id": document.trajectory_id, "context": context, "steps": steps}
    )


def _left_out(trajectory: Trajectory) -> dict[str, int]:
    """Count by field what the record has and the document does not."""
    found = {
        "steps[].model_call.response": sum(
            bool(one.model_call and one.model_call.response) for one in trajectory.steps
        ),
        "steps[].native": sum(bool(one.native) for one in trajectory.steps),
    }
    return {name: count for name, count in found.items() if count}


def _tools(text: str) -> list[dict[str, Any]] | None:
    found = loaded(text)
    return _objects(cast("list[Any]", found)) if isinstance(found, list) else None


def _objects(found: list[Any]) -> list[dict[str, Any]] | None:
    return found if all(isinstance(one, dict) for one in found) else None
