"""A whole answer out of the events of its stream: the other way round than `Wire.stream_of`. Pure.

Sources: OpenAI's API reference, "The chat completion chunk object"; Anthropic's API reference, "Streaming Messages".
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from synthbench.contracts.loose import as_list, as_object, parse_object
from synthbench.wire.sse import DONE, Splitter


def whole_of(wire: str, body: bytes) -> dict[str, Any]:
    """Put a recorded stream together.

    Args:
        wire: `openai` or `anthropic`.
        body: its events, up to the end mark.

    Raises:
        ValueError: they are none of this wire.
    """
    events = [event.object() for event in Splitter(len(body) + 1).feed(body) if event.data != DONE]
    return _completion(events) if wire == "openai" else _message(events)


def whole_answer(wire: str, raw: bytes, *, stream: bool) -> dict[str, Any]:
    """Return an answer as an object, put together where it came in pieces; empty where it is none.

    Args:
        wire: `openai` or `anthropic`.
        raw: the body as it came.
        stream: a stream was asked for; servers that know none answer with an object all the same.
    """
    if not stream or raw.lstrip().startswith(b"{"):
        return parse_object(raw)
    try:
        return whole_of(wire, raw)
    except (ValueError, KeyError, TypeError):
        return {}


def _completion(chunks: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    answer: dict[str, Any] = {}
    choices: dict[int, dict[str, Any]] = {}
    for chunk in chunks:
        answer |= {name: value for name, value in chunk.items() if value is not None and name != "choices"}
        for said in map(as_object, as_list(chunk.get("choices"))):
            index = int(said.get("index") or 0)
            choice = choices.setdefault(index, {"index": index, "message": {"role": "assistant", "content": None}})
            _grow(choice["message"], as_object(said.get("delta")))
            choice |= {name: said[name] for name in said if name not in ("index", "delta", "logprobs") and said[name]}
            if logprobs := as_object(said.get("logprobs")):
                _grow(choice.setdefault("logprobs", {}), logprobs)
    for choice in choices.values():
        choice.setdefault("finish_reason", None)
        choice.setdefault("logprobs", None)
    return {**answer, "object": "chat.completion", "choices": [choices[index] for index in sorted(choices)]}


def _grow(message: dict[str, Any], delta: Mapping[str, Any]) -> None:
    """Texts and lists grow with each delta, tool calls one by one."""
    for name, value in delta.items():
        if name == "tool_calls":
            _grow_calls(message.setdefault(name, []), as_list(value))
        elif name != "role" and isinstance(value, str):
            message[name] = (message.get(name) or "") + value
        elif isinstance(value, list):
            message[name] = [*as_list(message.get(name)), *as_list(value)]  # pyright: ignore[reportUnknownArgumentType] - any JSON
        elif value is not None:
            message[name] = value


def _grow_calls(calls: list[dict[str, Any]], deltas: list[Any]) -> None:
    for delta in map(as_object, deltas):
        index = int(delta.get("index", len(calls)))
        while len(calls) <= index:
            calls.append({"type": "function", "function": {"name": "", "arguments": ""}})
        call, function = calls[index], as_object(delta.get("function"))
        call |= {name: value for name, value in delta.items() if name not in ("index", "function") and value}
        _grow(call["function"], function)


def _message(events: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    message: dict[str, Any] = {}
    blocks: dict[int, dict[str, Any]] = {}
    inputs: dict[int, str] = {}
    for event in events:
        index = int(event.get("index") or 0)
        match event.get("type"):
            case "message_start":
                message = dict(as_object(event.get("message")))
            case "content_block_start":
                blocks[index] = dict(as_object(event.get("content_block")))
            case "content_block_delta":
                _grow_block(blocks[index], as_object(event.get("delta")), inputs, index)
            case "message_delta":
                message |= as_object(event.get("delta"))
                counted = {name: value for name, value in as_object(event.get("usage")).items() if value is not None}
                message["usage"] = {**as_object(message.get("usage")), **counted}
            case _:
                pass
    for index, text in inputs.items():
        blocks[index]["input"] = json.loads(text or "{}")
    return {**message, "content": [blocks[index] for index in sorted(blocks)]}


def _grow_block(block: dict[str, Any], delta: Mapping[str, Any], inputs: dict[int, str], index: int) -> None:
    if delta.get("type") == "input_json_delta":
        inputs[index] = inputs.get(index, "") + str(delta.get("partial_json", ""))
    elif delta.get("type") == "citations_delta":
        block["citations"] = [*as_list(block.get("citations")), delta.get("citation")]
    else:
        for name in ("text", "thinking", "signature"):
            if name in delta:
                block[name] = str(block.get(name) or "") + str(delta[name])
