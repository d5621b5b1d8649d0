"""Turns of an agent: the model's action, the observations that follow from it, and both as messages. Pure."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from synthbench.contracts.ids import uuid7
from synthbench.contracts.loose import as_list, as_object, parse_object
from synthbench.contracts.steps import Action, Observation, ToolCall
from synthbench.wire.reasoning import reasoning_of
from synthbench.wire.tool_calls import arguments_text

_CODE_MOST = 255
FINISH = {
    "end_turn": "stop", "stop_sequence": "stop", "pause_turn": "stop", "max_tokens": "length", "tool_use": "tool_calls",
    "refusal": "content_filter", "model_context_window_exceeded": "length",
}  # fmt: skip
"""OpenAI's words for Anthropic's reasons to stop."""


def action_of_blocks(answer: Mapping[str, Any]) -> Action:
    """Read the agent's action in Anthropic's message, as the model wrote it."""
    blocks = [as_object(block) for block in as_list(answer.get("content"))]
    return Action(
        message="".join(str(block.get("text") or "") for block in blocks if block.get("type") == "text"),
        reasoning=reasoning_of(answer),
        tool_calls=[_tool_use(block) for block in blocks if block.get("type") == "tool_use"],
    )


def _tool_use(block: Mapping[str, Any]) -> ToolCall:
    given = block.get("input", {})
    # A call that broke off has the text that came of its input.
    text = given if isinstance(given, str) else json.dumps(given, ensure_ascii=False)
    return ToolCall(
        id=str(block.get("id") or ""), name=str(block.get("name") or ""), arguments=text, error=json_error(text)
    )


def first_choice(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return the first choice of a chat completion; empty where there is none."""
    choices = as_list(answer.get("choices"))
    return as_object(choices[0]) if choices else {}


def finish_reason_of(message: Mapping[str, Any]) -> str:
    """Return why Anthropic's message stopped, in OpenAI's words; empty where it does not say."""
    stopped = str(message.get("stop_reason") or "")
    return FINISH.get(stopped, stopped)


def read_action(message: object) -> Action:
    """Read an assistant message, however broken; every call gets an id of its own, so that its answer finds it."""
    calls: list[ToolCall] = []
    taken: set[str] = set()
    content = as_object(message)
    for item in as_list(content.get("tool_calls")):
        call = _tool_call(item, taken)
        taken.add(call.id)
        calls.append(call)
    return Action(
        message=text_of(content.get("content")),
        reasoning=reasoning_of(content),
        tool_calls=calls,
    )


def _tool_call(item: Any, taken: set[str]) -> ToolCall:
    content = as_object(item)
    function = as_object(content.get("function"))
    identity = str(content.get("id") or "")
    if not identity or identity in taken:
        identity = f"call_{uuid7().hex}"
    text = arguments_text(function.get("arguments", "{}"))
    return ToolCall(id=identity, name=str(function.get("name") or ""), arguments=text, error=json_error(text))


def json_error(text: str) -> str | None:
    """Return why a tool call's arguments are no JSON object; None if they are one."""
    try:
        parsed = json.loads(text or "{}")
    except (ValueError, RecursionError) as error:
        return str(error)
    return None if isinstance(parsed, dict) else f"it is a {type(parsed).__name__}"


def text_of(content: Any) -> str:
    """Return the text of a message's content, which is in one piece or in parts."""
    if isinstance(content, str):
        return content
    return "".join(str(as_object(part).get("text", "")) for part in as_list(content))


def assistant_message(action: Action) -> dict[str, Any]:
    """Write an action as the assistant's message of a chat completion."""
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
    """Write observations as messages of a chat completion; one that answers no call comes from the user."""
    return [
        _tool_message(observation.tool_call_id, observation.shown or observation.content)
        for observation in observations
    ]


def _tool_message(call_id: str, content: str) -> dict[str, Any]:
    if not call_id:
        return {"role": "user", "content": content}
    return {"role": "tool", "tool_call_id": call_id, "content": content}


def observed_in_messages(messages: Sequence[Any]) -> list[Observation]:
    """Read what messages of a chat completion say about the turn before: the tools' results, else the user's words."""
    others = _not_assistant(messages)
    results = [
        _observation(str(message.get("tool_call_id") or ""), text_of(message.get("content")))
        for message in others
        if message.get("role") == "tool"
    ]
    return results or _user_words(others)


def observed_in_blocks(messages: Sequence[Any]) -> list[Observation]:
    """Read what Anthropic's messages say about the turn before: the tools' results, else the user's words."""
    others = _not_assistant(messages)
    return list(_results(others)) or _user_words(others)


def _not_assistant(messages: Sequence[Any]) -> list[dict[str, Any]]:
    return [as_object(message) for message in messages if as_object(message).get("role") != "assistant"]


def _user_words(messages: Sequence[dict[str, Any]]) -> list[Observation]:
    return [_observation("", text_of(message.get("content"))) for message in messages]


def _results(messages: Sequence[dict[str, Any]]) -> Iterator[Observation]:
    for message in messages:
        for block in map(as_object, as_list(message.get("content"))):
            if block.get("type") == "tool_result":
                failed = "tool_error" if block.get("is_error") else None
                yield _observation(str(block.get("tool_use_id") or ""), text_of(block.get("content")), failed)


def _observation(call_id: str, content: str, error: str | None = None) -> Observation:
    return Observation(
        tool_call_id=call_id,
        content=content,
        exit_code=_exit_code(content),
        total_bytes=len(content.encode(errors="surrogatepass")),
        error=error,
    )


def _exit_code(content: str) -> int | None:
    """Return the exit code of a result that is a JSON object with a `returncode`; None for any other."""
    code = parse_object(content).get("returncode")
    return code if isinstance(code, int) and not isinstance(code, bool) and abs(code) <= _CODE_MOST else None
