"""A request in OpenAI's format, as Anthropic takes it. Pure."""

import re
from collections.abc import Mapping
from typing import Any

import orjson

from synthbench.contracts.loose import as_count, as_list, as_object
from synthbench.wire.provider_metadata import extra_of
from synthbench.wire.refusal import Refusal

DEFAULT_ANSWER_TOKENS = 4096
_DATA_URL = re.compile(r"^data:([\w.+-]+/[\w.+-]+);base64,(.*)$", re.DOTALL)
_CARRIED = {
    "model", "messages", "max_tokens", "max_completion_tokens", "temperature", "top_p", "stop", "stream",
    "stream_options", "tools", "tool_choice", "parallel_tool_calls", "user",
}  # fmt: skip
_NEUTRAL: Mapping[str, object] = {"n": 1, "logprobs": False, "frequency_penalty": 0, "presence_penalty": 0}
"""Values that ask for nothing: leaving them out changes nothing."""


def anthropic_request(request: Mapping[str, Any], *, max_tokens: int = 0) -> tuple[dict[str, Any], list[str]]:
    """Translate a chat completion's request to Anthropic's.

    Args:
        request: in OpenAI's format.
        max_tokens: for a request that does not say; Anthropic insists.

    Returns:
        The request, and the names of what did not carry over.

    Raises:
        Refusal: 400, what it asks for has no counterpart, and without it the answer would be another one.
    """
    if as_count(request.get("n")) > 1:
        raise Refusal(400, "unsupported", "n: this model answers once; leave it out, or ask more often")
    dropped = [
        f"request.{name}"
        for name, value in request.items()
        if name not in _CARRIED and value is not None and _NEUTRAL.get(name, _NEUTRAL) != value
    ]
    wanted = as_count(request.get("max_completion_tokens")) or as_count(request.get("max_tokens"))
    system, messages = _conversation(as_list(request.get("messages")), dropped)
    translated: dict[str, Any] = {
        "model": request.get("model"),
        "max_tokens": wanted or max_tokens or DEFAULT_ANSWER_TOKENS,
        "messages": messages,
    }
    if system:
        translated["system"] = system
    _sampling(request, translated, dropped)
    _tools(request, translated, dropped)
    return translated, list(dict.fromkeys(dropped))


def _sampling(request: Mapping[str, Any], translated: dict[str, Any], dropped: list[str]) -> None:
    temperature = request.get("temperature")
    if isinstance(temperature, int | float):
        translated["temperature"] = min(1.0, temperature)
        if temperature > 1:
            dropped.append("request.temperature above 1")
    if request.get("top_p") is not None:
        translated["top_p"] = request["top_p"]
    if stop := request.get("stop"):
        translated["stop_sequences"] = [stop] if isinstance(stop, str) else stop
    if request.get("stream"):
        translated["stream"] = True
    if request.get("user"):
        translated["metadata"] = {"user_id": request["user"]}


def _tools(request: Mapping[str, Any], translated: dict[str, Any], dropped: list[str]) -> None:
    tools: list[dict[str, Any]] = []
    for tool in map(as_object, as_list(request.get("tools"))):
        if tool.get("type") != "function":
            dropped.append(f"tools.{tool.get('type')}")
            continue
        function = as_object(tool.get("function"))
        entry = {"name": function.get("name"), "input_schema": function.get("parameters") or {"type": "object"}}
        if function.get("description"):
            entry["description"] = function["description"]
        if function.get("strict"):
            dropped.append("tools.function.strict")
        tools.append(entry)
    if not tools:
        return
    translated["tools"] = tools
    choice = _tool_choice(request.get("tool_choice"))
    if request.get("parallel_tool_calls") is False and (choice or {"type": "auto"})["type"] != "none":
        choice = {**(choice or {"type": "auto"}), "disable_parallel_tool_use": True}
    if choice:
        translated["tool_choice"] = choice


def _tool_choice(choice: object) -> dict[str, Any] | None:
    if isinstance(choice, str):
        kind = {"auto": "auto", "none": "none", "required": "any"}.get(choice)
        return {"type": kind} if kind else None
    name = as_object(as_object(choice).get("function")).get("name")
    return {"type": "tool", "name": name} if name else None


def _conversation(given: list[Any], dropped: list[str]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Split off the system prompt, and join what one side says in a row: Anthropic's turns alternate."""
    system: list[dict[str, Any]] = []
    messages: list[dict[str, Any]] = []
    for message in map(as_object, given):
        role = message.get("role")
        if message.get("name"):
            dropped.append("messages.name")
        if role in ("system", "developer"):
            system += _parts(message.get("content"), dropped)
            continue
        side = "assistant" if role == "assistant" else "user"
        blocks = _blocks(message, dropped)
        if messages and messages[-1]["role"] == side:
            messages[-1]["content"] += blocks
        elif blocks:
            messages.append({"role": side, "content": blocks})
    return system, messages


def _blocks(message: Mapping[str, Any], dropped: list[str]) -> list[dict[str, Any]]:
    match message.get("role"):
        case "tool" | "function":
            parts = _parts(message.get("content"), dropped)
            result: dict[str, Any] = {"type": "tool_result", "tool_use_id": message.get("tool_call_id", "")}
            return [{**result, "content": parts} if parts else result]
        case "assistant":
            dropped += [f"messages.{name}" for name in _FIELDS_LOST if message.get(name)]
            return _parts(message.get("content"), dropped) + [_use(call, dropped) for call in _calls(message)]
        case _:
            return _parts(message.get("content"), dropped)


_FIELDS_LOST = (
    "reasoning_content",
    "reasoning",
    "reasoning_details",
    "refusal",
    "audio",
    "function_call",
    "annotations",
)
"""Fields of an assistant's message that Anthropic's format lacks: its thinking needs a signature."""


def _calls(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [as_object(call) for call in as_list(message.get("tool_calls"))]


def _use(call: Mapping[str, Any], dropped: list[str]) -> dict[str, Any]:
    function = as_object(call.get("function"))
    dropped += [f"messages.tool_calls.{name}" for name in extra_of(call)]
    return {
        "type": "tool_use",
        "id": call.get("id", ""),
        "name": function.get("name", ""),
        "input": arguments_of(str(function.get("arguments") or "{}"), dropped),
    }


def arguments_of(text: str, dropped: list[str]) -> dict[str, Any]:
    """Parse the arguments of a call. Those that are no JSON object are kept as text under the key `arguments`."""
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        found = None
    if isinstance(found, dict):
        return as_object(found)  # pyright: ignore[reportUnknownArgumentType] - any JSON
    dropped.append("tool_calls.arguments that are no JSON object")
    return {"arguments": text}


def _parts(content: object, dropped: list[str]) -> list[dict[str, Any]]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    blocks: list[dict[str, Any]] = []
    for part in map(as_object, as_list(content)):
        match part.get("type"):
            case "text" if part.get("text"):
                blocks.append({"type": "text", "text": part["text"]})
            case "text":
                pass
            case "image_url":
                blocks.append({"type": "image", "source": _image(part, dropped)})
            case kind:
                dropped.append(f"messages.content.{kind}")
    return blocks


def _image(part: Mapping[str, Any], dropped: list[str]) -> dict[str, Any]:
    image = as_object(part.get("image_url"))
    if image.get("detail") not in (None, "auto"):
        dropped.append("messages.content.image_url.detail")
    url = str(image.get("url", ""))
    if found := _DATA_URL.match(url):
        return {"type": "base64", "media_type": found[1], "data": found[2]}
    return {"type": "url", "url": url}
