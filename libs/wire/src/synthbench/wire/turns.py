"""Turns of an agent: what the model wrote as an action, what came of it as observations, and both as messages. Pure."""

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


def action_of(wire: str, answer: Mapping[str, Any]) -> Action:
    """The agent's turn, as the model wrote it."""
    if wire == "openai":
        return read_action(as_object(first_choice(answer).get("message")))
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
    """The first choice of a chat completion; empty where there is none."""
    choices = as_list(answer.get("choices"))
    return as_object(choices[0]) if choices else {}


def finish_reason(wire: str, answer: Mapping[str, Any]) -> str:
    """Why the model stopped, in OpenAI's words (`stop`, `length`, `tool_calls`, …); empty where it does not say."""
    if wire == "openai":
        return str(first_choice(answer).get("finish_reason") or "")
    stopped = str(answer.get("stop_reason") or "")
    return FINISH.get(stopped, stopped)


def read_action(message: dict[str, Any]) -> Action:
    """Read an assistant message, however broken; every call gets an id of its own, so that its answer finds it."""
    calls: list[ToolCall] = []
    taken: set[str] = set()
    for item in as_list(message.get("tool_calls")):
        call = _tool_call(item, taken)
        taken.add(call.id)
        calls.append(call)
    return Action(
        message=text_of(message.get("content")),
        reasoning=reasoning_of(message),
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
    """Why a tool call's arguments are no JSON object; None if they are one."""
    try:
        parsed = json.loads(text or "{}")
    except (ValueError, RecursionError) as error:
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


def observed(wire: str, new: Sequence[Any]) -> list[Observation]:
    """What the messages of a request say about the turn before: the tools' results, else what the user said."""
    said = [as_object(message) for message in new if as_object(message).get("role") != "assistant"]
    results = list(_results(wire, said))
    return results or [_observation("", text_of(message.get("content"))) for message in said]


def _results(wire: str, said: Sequence[dict[str, Any]]) -> Iterator[Observation]:
    for message in said:
        if wire == "openai" and message.get("role") == "tool":
            yield _observation(str(message.get("tool_call_id") or ""), text_of(message.get("content")))
        elif wire == "anthropic":
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
    """Of a result that is a JSON object with a `returncode`; None where nothing tells it."""
    code = parse_object(content).get("returncode")
    return code if isinstance(code, int) and not isinstance(code, bool) and abs(code) <= _CODE_MOST else None
