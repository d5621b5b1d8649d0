"""A trajectory as a row of an OpenAI conversation. Pure."""

from collections.abc import Sequence
from typing import Any

from synthbench.contracts.loose import as_list, as_object, parse_object
from synthbench.contracts.trajectory import Trajectory
from synthbench.datasets.formats.conversation import (
    list_in,
    messages_from_steps,
    opening_texts,
    recorded_messages,
    with_reasoning,
)
from synthbench.datasets.formats.provenance import OURS, facts_of, instance_of, resolved_of
from synthbench.wire.translate.from_anthropic import openai_tool


def to_messages(trajectory: Trajectory) -> dict[str, Any]:
    """Return one row as chat fine-tuning takes it: `messages` and `tools`, beside them what identifies and labels it.

    What the model was really sent comes from the record of its calls; without a model, or on another wire than
    OpenAI's, from actions and observations. Of an agent that began its conversation anew, or condensed
    it, it is the last one. docs/exports.md lists the columns.
    """
    turns = [step for step in trajectory.steps if step.kind == "turn"]
    messages = recorded_messages(turns)
    if messages is None:
        messages = messages_from_steps(trajectory.context, turns)
    return {
        "messages": with_reasoning(messages, turns),
        "tools": tools_offered(trajectory),
        "instance_id": instance_of(trajectory),
        "model": trajectory.rollout.route,
        "resolved": resolved_of(trajectory),
        "patch": trajectory.patch,
        OURS: _facts(trajectory, messages),
    }


def _facts(trajectory: Trajectory, messages: Sequence[Any]) -> dict[str, Any]:
    """Return the object `synthbench` of a row; it has the context's texts only where the messages begin with others."""
    context = trajectory.context
    system_prompt, instruction = opening_texts(messages)
    facts = facts_of(trajectory)
    if context.system_prompt != system_prompt:
        facts["system_prompt"] = context.system_prompt
    if context.instruction != instruction:
        facts["instruction"] = context.instruction
    return facts


def tools_offered(trajectory: Trajectory) -> list[Any]:
    """Schemas of the tools in OpenAI's function format: from the context, else from the first request that has any."""
    if schemas := list_in(trajectory.context.tools):
        return schemas
    calls = (step.model_call for step in trajectory.steps if step.model_call)
    requests = (as_list(parse_object(call.base).get("tools")) for call in calls)
    return next(([_in_openai_format(tool) for tool in tools] for tools in requests if tools), schemas)


def _in_openai_format(tool: Any) -> Any:
    content = as_object(tool)
    return openai_tool(content) if "input_schema" in content else tool
