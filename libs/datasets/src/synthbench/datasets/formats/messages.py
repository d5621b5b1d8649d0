"""A trajectory as an OpenAI conversation. Pure."""

import json
from typing import Any

from synthbench.contracts.loose import as_list, parse_object
from synthbench.contracts.steps import ModelCall, Step
from synthbench.contracts.trajectory import Trajectory


def to_messages(trajectory: Trajectory) -> dict[str, Any]:
    """Return `{"messages": […], "tools": […]}` as chat fine-tuning takes it.

    What the model was really sent comes from the record of its calls; without a model, or on another wire than
    OpenAI's, from actions and observations. Of an agent that began its conversation anew, or condensed
    it, it is the last one.
    """
    turns = [step for step in trajectory.steps if step.kind == "turn"]
    calls = [step.model_call for step in turns if step.model_call]
    messages: list[dict[str, Any]] = []
    if calls and not any(map(_on_another_wire, calls)):
        for call in calls:
            messages = [*([] if call.whole else messages), *_list_in(call.messages)]
        messages += _turn(turns[-1])
    else:
        said = (("system", trajectory.context.system_prompt), ("user", trajectory.context.instruction))
        messages = [{"role": role, "content": text} for role, text in said if text or role == "user"]
        for step in turns:
            messages += _turn(step)
    return {"messages": messages, "tools": tools_offered(trajectory)}


def tools_offered(trajectory: Trajectory) -> list[Any]:
    """Schemas of the tools, in OpenAI's function format: as the scaffold told them, else of the first request."""
    told = _list_in(trajectory.context.tools)
    calls = [step.model_call for step in trajectory.steps if step.model_call]
    if told or not calls or _on_another_wire(calls[0]):
        return told
    return as_list(parse_object(calls[0].base).get("tools"))


def _list_in(text: str) -> list[Any]:
    try:
        return as_list(json.loads(text))
    except ValueError:
        return []


def _on_another_wire(call: ModelCall) -> bool:
    """Whether it was Anthropic's: its messages are none that a chat template takes."""
    answer = call.response.lstrip()
    return answer.startswith("event:") or parse_object(answer).get("type") == "message"


def _turn(step: Step) -> list[dict[str, Any]]:
    """The assistant's message of a step, and the answers to its calls, or what the user said to it."""
    action = step.action
    message: dict[str, Any] = {"role": "assistant", "content": action.message or None}
    if action.tool_calls:
        message["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in action.tool_calls
        ]
    answers = [
        {"role": "tool", "tool_call_id": seen.tool_call_id, "content": _shown(seen.shown, seen.content)}
        for seen in step.observations
        if seen.tool_call_id
    ]
    said = [seen for seen in step.observations if not seen.tool_call_id and not action.tool_calls]
    return [message, *answers, *({"role": "user", "content": _shown(one.shown, one.content)} for one in said)]


def _shown(shown: str | None, content: str) -> str:
    return content if shown is None else shown
