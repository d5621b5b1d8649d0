"""Streams, event by event, from one format to the other. Pure; each translator serves one stream."""

import time
from collections.abc import Mapping
from typing import Any

from synthbench.contracts.ids import uuid7
from synthbench.contracts.loose import as_list, as_object
from synthbench.wire.provider_metadata import extra_of
from synthbench.wire.sse import DONE, event
from synthbench.wire.tool_calls import JsonEnd
from synthbench.wire.translate.answers import (
    anthropic_usage_of,
    finish_reason,
    lost_beside,
    openai_usage_of,
    stop_reason,
)
from synthbench.wire.turns import text_of
from synthbench.wire.usage import grow_anthropic_usage


class UntranslatedStream:
    """Passes chunks as they are."""

    def __init__(self) -> None:
        self.dropped: list[str] = []

    def feed(self, data: Mapping[str, Any]) -> bytes:
        """Return the chunk."""
        return event(data)

    def end(self) -> bytes:
        """Return the end mark."""
        return event(DONE)


class AnthropicToOpenAI:
    """Anthropic's events become chunks.

    Args:
        wants_usage: whether the caller asked for a last chunk with the usage.
    """

    def __init__(self, *, wants_usage: bool) -> None:
        self.dropped: list[str] = []
        self._wants_usage = wants_usage
        self._head: dict[str, Any] = {}
        self._usage: dict[str, Any] = {}
        self._calls = -1
        self._blocks: dict[object, int] = {}
        self._silent: set[object] = set()
        """Blocks of calls without arguments so far."""

    def feed(self, data: Mapping[str, Any]) -> bytes:
        """Translate one event."""
        match data.get("type"):
            case "message_start":
                return self._start(as_object(data.get("message")))
            case "content_block_start":
                return self._block(data.get("index"), as_object(data.get("content_block")))
            case "content_block_delta":
                return self._delta(data.get("index"), as_object(data.get("delta")))
            case "content_block_stop" if data.get("index") in self._silent:
                return self._arguments(
                    data.get("index"), "{}"
                )  # a call without arguments; OpenAI's text is never empty
            case "message_delta":
                self._usage = grow_anthropic_usage(self._usage, as_object(data.get("usage")))
                delta = as_object(data.get("delta"))
                if delta.get("stop_sequence"):
                    self.dropped.append("response.stop_sequence")
                return self._chunk({}, finish_reason(delta)) if delta.get("stop_reason") else b""
            case _:
                return b""

    def end(self) -> bytes:
        """Return the events that close the stream: the usage if it was asked for, and the end mark."""
        usage = (
            event({**self._head, "choices": [], "usage": openai_usage_of(self._usage)}) if self._wants_usage else b""
        )
        return usage + event(DONE)

    def _start(self, message: Mapping[str, Any]) -> bytes:
        self._usage = dict(as_object(message.get("usage")))
        self._head = {
            "id": f"chatcmpl-{message.get('id') or uuid7().hex}",
            "object": "chat.completion.chunk",
            "created": int(time.time()),
            "model": message.get("model", ""),
        }
        return self._chunk({"role": "assistant", "content": ""})

    def _block(self, index: object, block: Mapping[str, Any]) -> bytes:
        match block.get("type"):
            case "tool_use":
                self._calls += 1
                self._blocks[index] = self._calls
                self._silent.add(index)
                function = {"name": block.get("name"), "arguments": ""}
                call = {"index": self._calls, "id": block.get("id"), "type": "function", "function": function}
                return self._chunk({"tool_calls": [call | extra_of(block)]})
            case "text" if block.get("text"):
                return self._chunk({"content": block["text"]})
            case "text" | "thinking":
                return b""
            case kind:
                self.dropped.append(f"response.content.{kind}")
                return b""

    def _delta(self, index: object, delta: Mapping[str, Any]) -> bytes:
        match delta.get("type"):
            case "text_delta":
                return self._chunk({"content": delta.get("text", "")})
            case "thinking_delta":
                return self._chunk({"reasoning_content": delta.get("thinking", "")})
            case "input_json_delta" if index in self._blocks:
                return self._arguments(index, delta.get("partial_json", ""))
            case "signature_delta":
                self.dropped.append("response.content.thinking.signature")
                return b""
            case "citations_delta":
                self.dropped.append("response.content.text.citations")
                return b""
            case _:
                return b""

    def _arguments(self, index: object, text: str) -> bytes:
        if not text:
            return b""
        self._silent.discard(index)
        return self._chunk({"tool_calls": [{"index": self._blocks[index], "function": {"arguments": text}}]})

    def _chunk(self, delta: Mapping[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
        return event({**self._head, "choices": [choice]})


class OpenAIToAnthropic:
    """Chunks become Anthropic's events. A block ends when another one begins.

    The chunks are as `ToolCallPieces` writes them: a call's pieces have its position as index.
    """

    def __init__(self) -> None:
        self.dropped: list[str] = []
        self._started = False
        self._index = -1
        self._open: object = None
        self._arguments = JsonEnd()
        """Of the open call."""
        self._held: dict[object, list[Any]] = {}
        """What comes while a call is not over: this wire has one block after the other."""
        self._refused = False
        self._stop = "end_turn"
        self._usage: dict[str, Any] = {}

    def feed(self, data: Mapping[str, Any]) -> bytes:
        """Translate one chunk."""
        out = b"" if self._started else self._start(data)
        if data.get("system_fingerprint"):
            self.dropped.append("response.system_fingerprint")
        if usage := as_object(data.get("usage")):
            self._usage |= usage
        for choice in map(as_object, as_list(data.get("choices"))[:1]):
            delta = as_object(choice.get("delta"))
            self.dropped += lost_beside(choice, delta)
            out += self._delta(delta)
            if delta.get("refusal"):
                self._refused = True
            if choice.get("finish_reason"):
                self._stop = "refusal" if self._refused else stop_reason(choice)
        return out

    def end(self) -> bytes:
        """Return the events that close the stream."""
        usage = anthropic_usage_of(self._usage)
        delta = {"stop_reason": self._stop, "stop_sequence": None}
        held = b"".join(self._say(key, piece) for key, pieces in self._held.items() for piece in pieces)
        return (
            held
            + self._close()
            + event({"type": "message_delta", "delta": delta, "usage": usage}, "message_delta")
            + event({"type": "message_stop"}, "message_stop")
        )

    def _start(self, data: Mapping[str, Any]) -> bytes:
        self._started = True
        message: dict[str, Any] = {
            "id": f"msg_{data.get('id') or uuid7().hex}",
            "type": "message",
            "role": "assistant",
            "model": data.get("model", ""),
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {"input_tokens": 0, "output_tokens": 0},
        }
        return event({"type": "message_start", "message": message}, "message_start")

    def _delta(self, delta: Mapping[str, Any]) -> bytes:
        out = b""
        if thought := delta.get("reasoning_content") or delta.get("reasoning"):
            out += self._take("thinking", text_of(thought))
        if text := delta.get("content") or delta.get("refusal"):
            out += self._take("text", text_of(text))
        for call in map(as_object, as_list(delta.get("tool_calls"))):
            out += self._take(("call", call.get("index")), call)
        return out

    def _take(self, key: object, piece: Any) -> bytes:
        if key == self._open or not (self._held or self._call_is_open()):
            return self._say(key, piece)
        self._held.setdefault(key, []).append(piece)
        return b""

    def _call_is_open(self) -> bool:
        return isinstance(self._open, tuple) and not self._arguments.complete

    def _say(self, key: object, piece: Any) -> bytes:
        if key == "thinking":
            out = self._enter(key, {"type": "thinking", "thinking": "", "signature": ""})
            return out + self._piece({"type": "thinking_delta", "thinking": piece})
        if key == "text":
            return self._enter(key, {"type": "text", "text": ""}) + self._piece({"type": "text_delta", "text": piece})
        call, function, out = piece, as_object(piece.get("function")), b""
        if key != self._open:
            block: dict[str, Any] = {
                "type": "tool_use",
                "id": call.get("id"),
                "name": function.get("name"),
                "input": {},
            }
            out = self._enter(key, block | extra_of(call))
            self._arguments = JsonEnd()
        elif extra := extra_of(call):
            self.dropped += [f"response.tool_calls.{name} after the first piece" for name in extra]
        text = str(function.get("arguments") or "")
        self._arguments.feed(text)
        return out + (self._piece({"type": "input_json_delta", "partial_json": text}) if text else b"")

    def _enter(self, key: object, block: Mapping[str, Any]) -> bytes:
        if self._open == key:
            return b""
        out = self._close()
        self._open = key
        self._index += 1
        start = {"type": "content_block_start", "index": self._index, "content_block": block}
        return out + event(start, "content_block_start")

    def _piece(self, delta: Mapping[str, Any]) -> bytes:
        piece = {"type": "content_block_delta", "index": self._index, "delta": delta}
        return event(piece, "content_block_delta")

    def _close(self) -> bytes:
        if self._open is None:
            return b""
        self._open = None
        return event({"type": "content_block_stop", "index": self._index}, "content_block_stop")
