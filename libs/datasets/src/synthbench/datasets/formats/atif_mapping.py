"""Canonical trajectory to ATIF and back: what ATIF has no field for goes into `extra.synthbench`.

Source: docs/exports.md says field by field where it goes, and what is lost.
"""

import json
from collections.abc import Mapping
from typing import Any, cast

from synthbench.contracts.loose import as_object
from synthbench.contracts.steps import Observation, Step, ToolCall
from synthbench.contracts.trajectory import Trajectory
from synthbench.datasets.formats.atif import (
    AtifAgent,
    AtifFinalMetrics,
    AtifMetrics,
    AtifObservation,
    AtifResult,
    AtifStep,
    AtifToolCall,
    AtifTrajectory,
)
from synthbench.datasets.formats.messages import tools_offered

_OURS = "synthbench"
_RAW = {"base", "messages", "response"}
"""Of a model call: the wire's own words, which would double the document."""


def to_atif(trajectory: Trajectory) -> AtifTrajectory:
    """Write a trajectory as ATIF: the words of system and user first, then a step of the agent for each of ours."""
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
    names = _Names()
    steps += [_step(step, number, names) for number, step in enumerate(trajectory.steps, start=len(steps) + 1)]
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
        extra={_OURS: rest},
    )


def from_atif(document: AtifTrajectory) -> Trajectory:
    """Read back what `to_atif` wrote.

    Raises:
        ValueError: it did not write this.
    """
    rest = dict(_ours(document.extra))
    if not rest:
        raise ValueError("this ATIF document was not written by synth-bench: it has no extra.synthbench")
    said = {step.source: step.message for step in document.steps if step.source != "agent"}
    tools = document.agent.tool_definitions or []
    context = {
        **as_object(rest.get("context")),
        "instruction": said.get("user", ""),
        "system_prompt": said.get("system", ""),
        "tools": rest.pop("tools", json.dumps(tools, ensure_ascii=False)),
        "scaffold_version": document.agent.version,
    }
    steps = [_read_step(step) for step in document.steps if step.source == "agent"]
    return Trajectory.model_validate(
        {**rest, "trajectory_id": document.trajectory_id, "context": context, "steps": steps}
    )


class _Names:
    """Ids of tool calls, each once in a document; models say some of them again."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def free(self, name: str) -> str:
        found, number = name, 1
        while found in self._taken:
            number += 1
            found = f"{name}#{number}"
        self._taken.add(found)
        return found


def _step(step: Step, number: int, names: _Names) -> AtifStep:
    calls = [(call, names.free(call.id)) for call in step.action.tool_calls]
    by_id = {call.id: name for call, name in reversed(calls)}
    asked = step.model_call is not None
    usage = step.usage
    rest = step.model_dump(
        mode="json",
        exclude={"action": True, "observations": True, "started_at": True, "native": True, "model_call": True},
        exclude_defaults=True,
    )
    rest["reward"] = step.reward
    if step.model_call:
        rest["model_call"] = step.model_call.model_dump(mode="json", exclude=_RAW, exclude_defaults=True)
    if step.action.reasoning and not asked:
        rest["reasoning"] = step.action.reasoning
    return AtifStep(
        step_id=number,
        timestamp=step.started_at.isoformat(),
        source="agent",
        message=step.action.message,
        model_name=(step.model_call.model or None) if step.model_call else None,
        reasoning_content=(step.action.reasoning or None) if asked else None,
        tool_calls=[_call(call, name) for call, name in calls] or None,
        observation=AtifObservation(results=[_result(one, by_id) for one in step.observations])
        if step.observations
        else None,
        metrics=AtifMetrics(
            prompt_tokens=usage.input_tokens,
            completion_tokens=usage.output_tokens,
            cached_tokens=usage.cached_tokens,
            cost_usd=usage.cost_microusd / 1_000_000 if usage.cost_known else None,
        )
        if asked
        else None,
        is_copied_context=True if step.copied_from else None,
        llm_call_count=1 if asked else 0,
        extra={_OURS: rest},
    )


def _read_step(step: AtifStep) -> dict[str, Any]:
    rest = dict(_ours(step.extra))
    calls = {call.tool_call_id: _read_call(call) for call in step.tool_calls or []}
    reasoning = rest.pop("reasoning", step.reasoning_content or "")
    return {
        **rest,
        "started_at": step.timestamp,
        "action": {"message": step.message, "reasoning": reasoning, "tool_calls": list(calls.values())},
        "observations": [_read_result(result, calls) for result in step.results],
    }


def _call(call: ToolCall, name: str) -> AtifToolCall:
    arguments = _arguments(call.arguments)
    rest: dict[str, Any] = {}
    if name != call.id:
        rest["id"] = call.id
    if call.error is not None:
        rest["error"] = call.error
    if arguments is None or json.dumps(arguments, ensure_ascii=False) != call.arguments:
        rest["arguments"] = call.arguments
    return AtifToolCall(
        tool_call_id=name, function_name=call.name, arguments=arguments or {}, extra={_OURS: rest} if rest else None
    )


def _read_call(call: AtifToolCall) -> dict[str, Any]:
    told = {"id": call.tool_call_id, "arguments": json.dumps(call.arguments, ensure_ascii=False)}
    return {**told, "name": call.function_name, **_ours(call.extra)}


def _result(seen: Observation, by_id: Mapping[str, str]) -> AtifResult:
    """The content is what the model was shown; the whole of it is in `extra`, where that is more."""
    rest = seen.model_dump(mode="json", exclude={"tool_call_id", "content", "shown"}, exclude_defaults=True)
    name = by_id.get(seen.tool_call_id)
    if name is None and seen.tool_call_id:
        rest["tool_call_id"] = seen.tool_call_id
    if seen.shown is not None:
        rest["content"] = seen.content
    shown = seen.content if seen.shown is None else seen.shown
    return AtifResult(source_call_id=name, content=shown, extra={_OURS: rest} if rest else None)


def _read_result(result: AtifResult, calls: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    rest = dict(_ours(result.extra))
    if "content" in rest:
        rest["shown"] = result.content
    call_id = calls[result.source_call_id]["id"] if result.source_call_id is not None else ""
    return {"content": result.content, "tool_call_id": call_id, **rest}


def _ours(extra: Mapping[str, Any] | None) -> dict[str, Any]:
    return as_object((extra or {}).get(_OURS))


def _arguments(text: str) -> dict[str, Any] | None:
    """The object in a text; None where it is none that JSON can say."""
    found = _loaded(text)
    return cast("dict[str, Any]", found) if isinstance(found, dict) else None


def _tools(text: str) -> list[dict[str, Any]] | None:
    found = _loaded(text)
    return _objects(cast("list[Any]", found)) if isinstance(found, list) else None


def _objects(found: list[Any]) -> list[dict[str, Any]] | None:
    return found if all(isinstance(one, dict) for one in found) else None


def _loaded(text: str) -> object:
    try:
        found = json.loads(text)
        json.dumps(found, ensure_ascii=False, allow_nan=False).encode()  # no NaN, no half of a surrogate pair
    except (ValueError, RecursionError):
        return None
    return found
