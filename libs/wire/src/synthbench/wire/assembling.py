"""A whole answer out of the events of its stream: the other way round than `Wire.stream_of`. Pure.

Sources: OpenAI's API reference, "The chat completion chunk object"; Anthropic's API reference, "Streaming Messages".
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from synthbench.contracts.loose import as_list, as_object, parse_object
from synthbench.wire.sse import DONE, Splitter

_CALLS_MOST = 4096
"""Tool calls of one answer: an index makes places for all before it."""


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
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError):
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
        _join(choice)
        choice.setdefault("finish_reason", None)
        choice.setdefault("logprobs", None)
    return {**answer, "object": "chat.completion", "choices": [choices[index] for index in sorted(choices)]}


def _grow(message: dict[str, Any], delta: Mapping[str, Any]) -> None:
    """Texts and lists grow with each delta, tool calls one by one; `_join` ends it."""
    for name, value in delta.items():
        if name == "tool_calls":
            _grow_calls(message.setdefault(name, []), as_list(value))
        elif name != "role" and isinstance(value, str):
            _append(message, name, value)
        elif isinstance(value, list):
            grown = message.get(name)
            if not isinstance(grown, _Grown):
                message[name] = grown = _Grown(as_list(grown))
            grown.extend(as_list(value))  # pyright: ignore[reportUnknownArgumentType] - any JSON
        elif value is not None:
            message[name] = value


class _Pieces(list[str]):
    """A text that grows: its pieces are joined once, for an answer may have a million of them."""


class _Grown(list[Any]):
    """A list that grows."""


def _append(holder: dict[str, Any], name: str, piece: str) -> None:
    pieces = holder.get(name)
    if not isinstance(pieces, _Pieces):
        holder[name] = pieces = _Pieces([str(pieces or "")])
    pieces.append(piece)


def _join(value: dict[str, Any]) -> None:
    """Make texts of the pieces in an object and in what it holds."""
    for name, inner in value.items():
        if isinstance(inner, _Pieces):
            value[name] = "".join(inner)
        elif isinstance(inner, dict):
            _join(as_object(inner))  # pyright: ignore[reportUnknownArgumentType] - any JSON
        elif name == "tool_calls":
            for call in as_list(inner):
                _join(as_object(call))


def _grow_calls(calls: list[dict[str, Any]], deltas: list[Any]) -> None:
    for delta in map(as_object, deltas):
        index = int(delta.get("index", len(calls)))
        if index >= _CALLS_MOST:
            raise ValueError(f"tool call {index} of one answer")
        while len(calls) <= index:
            calls.append({"type": "function", "function": {"name": "", "arguments": ""}})
        call, function = calls[index], as_object(delta.get("function"))
        call |= {name: value for name, value in delta.items() if name not in ("index", "function") and value}
        _grow(call["function"], function)


def _message(events: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    message: dict[str, Any] = {}
    blocks: dict[int, dict[str, Any]] = {}
    inputs: dict[int, _Pieces] = {}
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
    for block in blocks.values():
        _join(block)
    for index, pieces in inputs.items():
        blocks[index]["input"] = json.loads("".join(pieces) or "{}")
    return {**message, "content": [blocks[index] for index in sorted(blocks)]}


def _grow_block(block: dict[str, Any], delta: Mapping[str, Any], inputs: dict[int, _Pieces], index: int) -> None:
    if delta.get("type") == "input_json_delta":
        inputs.setdefault(index, _Pieces()).append(str(delta.get("partial_json", "")))
    elif delta.get("type") == "citations_delta":
        block["citations"] = [*as_list(block.get("citations")), delta.get("citation")]
    else:
        for name in ("text", "thinking", "signature"):
            if name in delta:
                _append(block, name, str(delta[name]))
