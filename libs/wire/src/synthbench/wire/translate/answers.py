"""Answers, from one format to the other. Pure."""

import time
from collections.abc import Mapping
from typing import Any

import orjson

from synthbench.contracts.ids import uuid7
from synthbench.contracts.loose import as_list, as_object
from synthbench.contracts.records import Usage
from synthbench.wire.provider_metadata import extra_of
from synthbench.wire.tool_calls import arguments_text
from synthbench.wire.translate.from_openai import arguments_of
from synthbench.wire.turns import FINISH, text_of
from synthbench.wire.usage import usage_of

STOP = {
    "stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "function_call": "tool_use",
    "content_filter": "refusal",
}  # fmt: skip


def openai_answer(answer: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Translate Anthropic's message to a chat completion; also return the names of fields that did not carry over."""
    dropped: list[str] = []
    texts: list[str] = []
    thoughts: list[str] = []
    calls: list[dict[str, Any]] = []
    for block in map(as_object, as_list(answer.get("content"))):
        match block.get("type"):
            case "text":
                texts.append(str(block.get("text", "")))
                if block.get("citations"):
                    dropped.append("response.content.text.citations")
            case "tool_use":
                function = {"name": block.get("name"), "arguments": orjson.dumps(block.get("input") or {}).decode()}
                calls.append({"id": block.get("id"), "type": "function", "function": function} | extra_of(block))
            case "thinking":
                thoughts.append(str(block.get("thinking", "")))
                dropped.append("response.content.thinking.signature")
            case kind:
                dropped.append(f"response.content.{kind}")
    message: dict[str, Any] = {"role": "assistant", "content": "".join(texts) or None, "refusal": None}
    if thought := "".join(thoughts):  # empty where the provider keeps its thinking to itself
        message["reasoning_content"] = thought
    if calls:
        message["tool_calls"] = calls
    if answer.get("stop_sequence"):
        dropped.append("response.stop_sequence")
    translated = {
        "id": f"chatcmpl-{answer.get('id') or uuid7().hex}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": answer.get("model", ""),
        "choices": [{"index": 0, "message": message, "finish_reason": finish_reason(answer), "logprobs": None}],
        "usage": openai_usage_of(as_object(answer.get("usage"))),
    }
    return translated, list(dict.fromkeys(dropped))


def finish_reason(stopped: Mapping[str, Any]) -> str:
    """Return OpenAI's word for Anthropic's `stop_reason`."""
    return FINISH.get(str(stopped.get("stop_reason")), "stop")


def openai_usage_of(usage: Mapping[str, Any]) -> dict[str, Any]:
    """Write Anthropic's usage in OpenAI's words: cached tokens are inside the prompt."""
    counted = usage_of("anthropic", {"usage": usage}) or Usage()
    written: dict[str, Any] = {
        "prompt_tokens": counted.input_tokens,
        "completion_tokens": counted.output_tokens,
        "total_tokens": counted.input_tokens + counted.output_tokens,
    }
    if counted.cached_tokens or counted.cache_write_tokens:
        details = {"cached_tokens": counted.cached_tokens, "cache_write_tokens": counted.cache_write_tokens}
        written["prompt_tokens_details"] = details
    if counted.cache_write_1h_tokens:
        written["prompt_tokens_details"]["cache_write_1h_tokens"] = counted.cache_write_1h_tokens
    if counted.reasoning_tokens:
        written["completion_tokens_details"] = {"reasoning_tokens": counted.reasoning_tokens}
    return written


def anthropic_answer(answer: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Translate a chat completion to Anthropic's message; also return the names of fields that did not carry over."""
    dropped: list[str] = []
    choices = [as_object(choice) for choice in as_list(answer.get("choices"))]
    choice = choices[0] if choices else {}
    message = as_object(choice.get("message"))
    if answer.get("system_fingerprint"):
        dropped.append("response.system_fingerprint")
    dropped += lost_beside(choice, message)
    content: list[dict[str, Any]] = []
    if thought := message.get("reasoning_content") or message.get("reasoning"):
        content.append({"type": "thinking", "thinking": text_of(thought), "signature": ""})
    if text := message.get("content") or message.get("refusal"):
        content.append({"type": "text", "text": text_of(text)})
    for call in map(as_object, as_list(message.get("tool_calls"))):
        function = as_object(call.get("function"))
        given = arguments_of(arguments_text(function.get("arguments")) or "{}", dropped)
        block = {"type": "tool_use", "id": call.get("id"), "name": function.get("name"), "input": given}
        content.append(block | extra_of(call))
    translated = {
        "id": f"msg_{answer.get('id') or uuid7().hex}",
        "type": "message",
        "role": "assistant",
        "model": answer.get("model", ""),
        "content": content,
        "stop_reason": "refusal" if message.get("refusal") else stop_reason(choice),
        "stop_sequence": None,
        "usage": anthropic_usage_of(as_object(answer.get("usage"))),
    }
    return translated, list(dict.fromkeys(dropped))


def lost_beside(choice: Mapping[str, Any], message: Mapping[str, Any]) -> list[str]:
    """Return the names of fields of OpenAI's choice that Anthropic's format lacks, in a whole message or in a piece."""
    lost = ["response.logprobs"] if choice.get("logprobs") else []
    return lost + [f"response.{name}" for name in ("annotations", "audio", "reasoning_details") if message.get(name)]


def stop_reason(choice: Mapping[str, Any]) -> str:
    """Return Anthropic's word for OpenAI's `finish_reason`."""
    return STOP.get(str(choice.get("finish_reason")), "end_turn")


def anthropic_usage_of(usage: Mapping[str, Any]) -> dict[str, Any]:
    """Write OpenAI's usage in Anthropic's words: cached tokens are outside the input."""
    counted = usage_of("openai", {"usage": usage}) or Usage()
    cache_writes, long_writes = counted.cache_write_tokens, counted.cache_write_1h_tokens
    written: dict[str, Any] = {
        "input_tokens": max(0, counted.input_tokens - counted.cached_tokens - cache_writes),
        "output_tokens": counted.output_tokens,
        "cache_read_input_tokens": counted.cached_tokens,
        "cache_creation_input_tokens": cache_writes,
    }
    if long_writes:
        parts = {"ephemeral_5m_input_tokens": cache_writes - long_writes, "ephemeral_1h_input_tokens": long_writes}
        written["cache_creation"] = parts
    if counted.reasoning_tokens:
        written["output_tokens_details"] = {"thinking_tokens": counted.reasoning_tokens}
    return written
