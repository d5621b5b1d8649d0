"""Streams, event by event, from one format to the other. Pure; each translator serves one stream."""

import time
from collections.abc import Mapping
from typing import Any

from synthbench.contracts.ids import uuid7
from synthbench.contracts.loose import as_list, as_object
from synthbench.wire.sse import DONE, event
from synthbench.wire.translate.answers import (
    anthropic_usage_of,
    finish_reason,
    lost_beside,
    openai_usage_of,
    stop_reason,
)


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
                self._usage |= {key: value for key, value in as_object(data.get("usage")).items() if value is not None}
                delta = as_object(data.get("delta"))
                if delta.get("stop_sequence"):
                    self.dropped.append("response.stop_sequence")
                return self._chunk({}, finish_reason(delta)) if delta.get("stop_reason") else b""
            case _:
                return b""

    def end(self) -> bytes:
        """What closes the stream: usage if it was asked for, and the end mark."""
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
                return self._chunk({"tool_calls": [call]})
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
    """Chunks become Anthropic's events. A block ends when another one begins."""

    def __init__(self) -> None:
        self.dropped: list[str] = []
        self._started = False
        self._index = -1
        self._open: object = None
        self._call: tuple[object, object] = (None, None)
        self._refused = False
        self._stop = "end_turn"
        self._usage: dict[str, Any] = {}

    def feed(self, data: Mapping[str, Any]) -> bytes:
        """Translate one chunk.

        Raises:
            ValueError: pieces of several calls are interleaved, which this wire cannot say.
        """
        made = b"" if self._started else self._start(data)
        if data.get("system_fingerprint"):
            self.dropped.append("response.system_fingerprint")
        if usage := as_object(data.get("usage")):
            self._usage = usage
        for choice in map(as_object, as_list(data.get("choices"))[:1]):
            delta = as_object(choice.get("delta"))
            self.dropped += lost_beside(choice, delta)
            made += self._delta(delta)
            if delta.get("refusal"):
                self._refused = True
            if choice.get("finish_reason"):
                self._stop = "refusal" if self._refused else stop_reason(choice)
        return made

    def end(self) -> bytes:
        """What closes the stream."""
        usage = anthropic_usage_of(self._usage)
        delta = {"stop_reason": self._stop, "stop_sequence": None}
        return (
            self._close()
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
        made = b""
        if thought := delta.get("reasoning_content") or delta.get("reasoning"):
            made += self._enter("thinking", {"type": "thinking", "thinking": "", "signature": ""})
            made += self._piece({"type": "thinking_delta", "thinking": thought})
        if text := delta.get("content") or delta.get("refusal"):
            made += self._enter("text", {"type": "text", "text": ""})
            made += self._piece({"type": "text_delta", "text": text})
        for call in map(as_object, as_list(delta.get("tool_calls"))):
            made += self._called(call)
        return made

    def _called(self, call: Mapping[str, Any]) -> bytes:
        """A piece of a call. Gemini gives all calls the index 0, and some servers say the id with every piece: a new
        call is one with an index or an id of its own."""
        function = as_object(call.get("function"))
        index, name = call.get("index", 0), call.get("id")
        made = b""
        if self._open != ("call", *self._call) or index != self._call[0] or name not in (None, "", self._call[1]):
            if not name:
                raise ValueError("pieces of several calls are interleaved")
            self._call = (index, name)
            block: dict[str, Any] = {"type": "tool_use", "id": name, "name": function.get("name"), "input": {}}
            made = self._enter(("call", index, name), block)
        if call.get("extra_content"):
            self.dropped.append("response.tool_calls.extra_content")
        if function.get("arguments"):
            made += self._piece({"type": "input_json_delta", "partial_json": function["arguments"]})
        return made

    def _enter(self, key: object, block: Mapping[str, Any]) -> bytes:
        if self._open == key:
            return b""
        made = self._close()
        self._open = key
        self._index += 1
        start = {"type": "content_block_start", "index": self._index, "content_block": block}
        return made + event(start, "content_block_start")

    def _piece(self, delta: Mapping[str, Any]) -> bytes:
        piece = {"type": "content_block_delta", "index": self._index, "delta": delta}
        return event(piece, "content_block_delta")

    def _close(self) -> bytes:
        if self._open is None:
            return b""
        self._open = None
        return event({"type": "content_block_stop", "index": self._index}, "content_block_stop")
