"""The dialect of function calls: between OpenAI's messages and our records. Pure."""

import json
from collections.abc import Sequence
from typing import Any

from synthbench.contracts.loose import as_list, as_object
from synthbench.contracts.steps import Action, Observation, ToolCall


def read_action(message: dict[str, Any]) -> Action:
    """Read an assistant message, however broken; every call gets an id of its own, so that its answer finds it."""
    calls: list[ToolCall] = []
    for item in as_list(message.get("tool_calls")):
        call = _tool_call(item, {call.id for call in calls}, len(calls))
        calls.append(call)
    return Action(
        message=text_of(message.get("content")),
        reasoning=text_of(message.get("reasoning_content") or message.get("reasoning")),
        tool_calls=calls,
    )


def _tool_call(item: Any, taken: set[str], number: int) -> ToolCall:
    content = as_object(item)
    function = as_object(content.get("function"))
    identity = str(content.get("id") or f"call_{number}")
    while identity in taken:
        identity += "_"
    arguments = function.get("arguments", "{}")
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    return ToolCall(id=identity, name=str(function.get("name") or ""), arguments=text, error=json_error(text))


def json_error(text: str) -> str | None:
    """Why a tool call's arguments are no JSON object; None if they are one."""
    try:
        parsed = json.loads(text or "{}")
    except ValueError as error:
        return str(error)
    return None if isinstance(parsed, dict) else f"it is a {type(parsed).__name__}"


def text_of(content: Any) -> str:
    """The text of a message's content, in one piece or in parts."""
    if isinstance(content, str):
        return content
    return "".join(str(as_object(part).get("text", "")) for part in as_list(content))


def assistant_message(action: Action) -> dict[str, Any]:
    """The message as it goes back into the conversation."""
    message: dict[str, Any] = {"role": "assistant", "content": action.message or None}
    if action.tool_calls:
        message["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in action.tool_calls
        ]
    elif not action.message:
        message["content"] = ""
    return message


def tool_messages(observations: Sequence[Observation]) -> list[dict[str, Any]]:
    """One answer for each call; a nudge, which answers no call, comes from the user."""
    return [_answer(observation.tool_call_id, observation.shown or observation.content) for observation in observations]


def _answer(call_id: str, content: str) -> dict[str, Any]:
    if not call_id:
        return {"role": "user", "content": content}
    return {"role": "tool", "tool_call_id": call_id, "content": content}


class ToolDialect:
    """See `synthbench.executor.scaffolds.native.dialect.Dialect`."""

    nudge = "You did not call a tool. Continue with a tool call; when the work is done, call submit."

    def offered(self, tools: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """All of them."""
        return tools

    def read_action(self, message: dict[str, Any]) -> Action:
        """See `read_action`."""
        return read_action(message)

    def assistant_message(self, action: Action) -> dict[str, Any]:
        """See `assistant_message`."""
        return assistant_message(action)

    def answers(self, action: Action, observations: Sequence[Observation]) -> list[dict[str, Any]]:  # noqa: ARG002 - as in the protocol
        """See `tool_messages`."""
        return tool_messages(observations)
