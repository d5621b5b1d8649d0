"""A trajectory as an OpenAI conversation. Pure."""

import json
from typing import Any

from synthbench.contracts.loose import as_list
from synthbench.contracts.trajectory import Trajectory


def to_messages(trajectory: Trajectory) -> dict[str, Any]:
    """Return `{"messages": […], "tools": […]}` as chat fine-tuning takes it.

    What the model was really sent comes from the record of its calls; without a model, from actions and observations.
    """
    messages: list[dict[str, Any]] = []
    for step in trajectory.steps:
        if step.model_call:
            messages += as_list(json.loads(step.model_call.messages))
    if not messages:
        messages = [{"role": "user", "content": trajectory.context.instruction}]
        for step in trajectory.steps:
            messages += _turn(step.model_dump(mode="json"))
    elif trajectory.steps:
        messages += _turn(trajectory.steps[-1].model_dump(mode="json"))
    return {"messages": messages, "tools": json.loads(trajectory.context.tools)}


def _turn(step: dict[str, Any]) -> list[dict[str, Any]]:
    """The assistant's message of a step, and the answers to its calls."""
    action = step["action"]
    message: dict[str, Any] = {"role": "assistant", "content": action["message"] or None}
    if action["tool_calls"]:
        message["tool_calls"] = [
            {"id": call["id"], "type": "function", "function": {"name": call["name"], "arguments": call["arguments"]}}
            for call in action["tool_calls"]
        ]
    answers = [
        {"role": "tool", "tool_call_id": seen["tool_call_id"], "content": seen["shown"] or seen["content"]}
        for seen in step["observations"]
        if seen["tool_call_id"]
    ]
    return [message, *answers]
