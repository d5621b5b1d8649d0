"""A request in Anthropic's format, as OpenAI-compatible servers take it. Pure."""

from collections.abc import Mapping
from typing import Any

import orjson

from synthbench.contracts.loose import as_list, as_object
from synthbench.wire.provider_metadata import extra_of

_CARRIED = {
    "model", "messages", "system", "max_tokens", "temperature", "top_p", "stop_sequences", "stream", "tools",
    "tool_choice", "metadata", "thinking", "output_config",
}  # fmt: skip
_OF_TOOL = {"type", "name", "description", "input_schema", "cache_control"}
_LOW, _MEDIUM = 4096, 16384
"""Thinking budgets up to which the effort is low and medium."""


def openai_request(request: Mapping[str, Any], *, reasoning: bool = False) -> tuple[dict[str, Any], list[str]]:
    """Translate Anthropic's request to a chat completion's.

    Args:
        request: in Anthropic's format.
        reasoning: the model takes `reasoning_effort`, and `max_completion_tokens` in place of `max_tokens`.

    Returns:
        The request, and the names of what did not carry over.
    """
    dropped = [f"request.{name}" for name, value in request.items() if name not in _CARRIED and value is not None]
    messages = _system(request.get("system"), dropped)
    for message in map(as_object, as_list(request.get("messages"))):
        messages += _messages(message, dropped)
    translated: dict[str, Any] = {"model": request.get("model"), "messages": messages}
    if request.get("max_tokens") is not None:
        translated["max_completion_tokens" if reasoning else "max_tokens"] = request["max_tokens"]
    for name, target in (("temperature", "temperature"), ("top_p", "top_p"), ("stop_sequences", "stop")):
        if request.get(name) is not None:
            translated[target] = request[name]
    if request.get("stream"):
        translated |= {"stream": True, "stream_options": {"include_usage": True}}
    if user := as_object(request.get("metadata")).get("user_id"):
        translated["user"] = user
    _thinking(request, translated, dropped, reasoning=reasoning)
    _tools(request, translated, dropped)
    return translated, list(dict.fromkeys(dropped))


def _thinking(request: Mapping[str, Any], translated: dict[str, Any], dropped: list[str], *, reasoning: bool) -> None:
    """Translate the amount of thinking: a named effort, or a budget that stands for one."""
    output, thinking = as_object(request.get("output_config")), as_object(request.get("thinking"))
    dropped += [f"request.output_config.{name}" for name, value in output.items() if name != "effort" and value]
    effort, budget = output.get("effort"), thinking.get("budget_tokens")
    wanted = thinking.get("type") not in (None, "disabled")
    if effort and not reasoning:
        dropped.append("request.output_config.effort")
    if wanted and (not reasoning or not (effort or isinstance(budget, int))):
        dropped.append("request.thinking")
    elif wanted and isinstance(budget, int):
        effort = effort or ("low" if budget <= _LOW else "medium" if budget <= _MEDIUM else "high")
        dropped.append("request.thinking.budget_tokens")
    if reasoning and effort:
        translated["reasoning_effort"] = effort


def _system(system: object, dropped: list[str]) -> list[dict[str, Any]]:
    text = system if isinstance(system, str) else _text(as_list(system), "system", dropped)
    return [{"role": "system", "content": text}] if text else []


def _text(blocks: list[Any], where: str, dropped: list[str]) -> str:
    texts: list[str] = []
    for block in map(as_object, blocks):
        if block.get("cache_control"):
            dropped.append("cache_control")
        if block.get("type") == "text":
            texts.append(str(block.get("text", "")))
        else:
            dropped.append(f"{where}.{block.get('type')}")
    return "\n\n".join(texts) if where == "system" else "".join(texts)


def _messages(message: Mapping[str, Any], dropped: list[str]) -> list[dict[str, Any]]:
    role, content = str(message.get("role", "")), message.get("content")
    if isinstance(content, str):
        return [{"role": role, "content": content}]
    blocks = [as_object(block) for block in as_list(content)]
    if any(block.get("cache_control") for block in blocks):
        dropped.append("cache_control")
    if role == "system":
        return _system(blocks, dropped)
    return [_assistant(blocks, dropped)] if role == "assistant" else _user(blocks, dropped)


def _assistant(blocks: list[dict[str, Any]], dropped: list[str]) -> dict[str, Any]:
    texts: list[str] = []
    calls: list[dict[str, Any]] = []
    for block in blocks:
        match block.get("type"):
            case "text":
                texts.append(str(block.get("text", "")))
                if block.get("citations"):
                    dropped.append("messages.content.text.citations")
            case "tool_use":
                arguments = orjson.dumps(block.get("input") or {}).decode()
                function = {"name": block.get("name", ""), "arguments": arguments}
                call = {"id": block.get("id", ""), "type": "function", "function": function}
                calls.append(call | extra_of(block))
            case kind:
                dropped.append(f"messages.content.{kind}")
    message: dict[str, Any] = {"role": "assistant", "content": "".join(texts) or None}
    if calls:
        message["tool_calls"] = calls
    elif not texts:
        message["content"] = ""
    return message


def _user(blocks: list[dict[str, Any]], dropped: list[str]) -> list[dict[str, Any]]:
    """Tool results come first, as messages of their own: OpenAI wants them right after their calls."""
    results: list[dict[str, Any]] = []
    parts: list[dict[str, Any]] = []
    for block in blocks:
        match block.get("type"):
            case "tool_result":
                results.append(_result(block, dropped))
            case "text":
                parts.append({"type": "text", "text": block.get("text", "")})
            case "image":
                parts.append({"type": "image_url", "image_url": {"url": _url(as_object(block.get("source")))}})
            case kind:
                dropped.append(f"messages.content.{kind}")
    if not parts:
        return results
    plain = len(parts) == 1 and parts[0]["type"] == "text"
    return [*results, {"role": "user", "content": parts[0]["text"] if plain else parts}]


def _result(block: Mapping[str, Any], dropped: list[str]) -> dict[str, Any]:
    content = block.get("content")
    text = content if isinstance(content, str) else _text(as_list(content), "tool_result", dropped)
    if block.get("is_error"):
        dropped.append("tool_result.is_error")
    return {"role": "tool", "tool_call_id": block.get("tool_use_id", ""), "content": text}


def _url(source: Mapping[str, Any]) -> str:
    if source.get("type") == "base64":
        return f"data:{source.get('media_type')};base64,{source.get('data')}"
    return str(source.get("url", ""))


def openai_tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    """A tool of Anthropic's as a function of OpenAI's."""
    function = {"name": tool.get("name"), "parameters": tool.get("input_schema") or {"type": "object"}}
    if tool.get("description"):
        function["description"] = tool["description"]
    return {"type": "function", "function": function}


def _tools(request: Mapping[str, Any], translated: dict[str, Any], dropped: list[str]) -> None:
    tools: list[dict[str, Any]] = []
    for tool in map(as_object, as_list(request.get("tools"))):
        if tool.get("cache_control"):
            dropped.append("cache_control")
        if tool.get("type") not in (None, "custom"):
            dropped.append(f"tools.{tool['type']}")
            continue
        dropped += [f"tools.{name}" for name, value in tool.items() if name not in _OF_TOOL and value]
        tools.append(openai_tool(tool))
    if not tools:
        return
    translated["tools"] = tools
    choice = as_object(request.get("tool_choice"))
    kinds: dict[str, Any] = {"auto": "auto", "any": "required", "none": "none"}
    if choice.get("type") == "tool":
        translated["tool_choice"] = {"type": "function", "function": {"name": choice.get("name")}}
    elif choice.get("type") in kinds:
        translated["tool_choice"] = kinds[choice["type"]]
    if choice.get("disable_parallel_tool_use"):
        translated["parallel_tool_calls"] = False
