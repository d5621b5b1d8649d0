"""OpenAI's legacy text completions, `POST /v1/completions`: a prompt goes in, a text comes out, no tool is called.

Source: OpenAI's API reference, "Completions" (legacy) and its streamed objects.
"""

from collections.abc import Mapping
from typing import Any

from synthbench.contracts.loose import as_list, as_object
from synthbench.wire.completions import message_texts
from synthbench.wire.pivot import PivotedWireFormat
from synthbench.wire.protocols import Translated
from synthbench.wire.refusal import Refusal
from synthbench.wire.sse import DONE, event

_SHARED = ("model", "max_tokens", "temperature", "top_p", "stop", "seed", "n", "stream", "stream_options", "user")
"""Fields that have the same name and meaning in both formats."""


class TextCompletionsWire(PivotedWireFormat):
    """Follows `synthbench.wire.protocols.WireFormat`."""

    name = "completions"
    path = "/v1/completions"

    def is_answer(self, answer: Mapping[str, Any]) -> bool:
        """Return whether every choice has a text."""
        choices = [as_object(choice) for choice in as_list(answer.get("choices"))]
        return bool(choices) and all(isinstance(choice.get("text"), str) for choice in choices)

    def usage_fields(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Return the option of streams that asks for a last event with the usage."""
        return {"stream_options": {**as_object(request.get("stream_options")), "include_usage": True}}

    def request_to_openai(self, request: Mapping[str, Any], *, reasoning: bool = False) -> Translated:
        """Make the prompt the only message.

        Raises:
            Refusal: 400, there is no prompt.
        """
        prompt = request.get("prompt")
        if not isinstance(prompt, str) or not prompt:
            raise Refusal(400, "invalid_request", "prompt: write a text")
        translated, dropped = _shared(request, "prompt")
        if reasoning and "max_tokens" in translated:
            translated["max_completion_tokens"] = translated.pop("max_tokens")
        return {**translated, "messages": [{"role": "user", "content": prompt}]}, dropped

    def request_from_openai(self, request: Mapping[str, Any], *, max_tokens: int = 0) -> Translated:
        """Join all messages to one prompt."""
        translated, dropped = _shared(request, "messages")
        if max_tokens and "max_tokens" not in translated:
            translated["max_tokens"] = max_tokens
        return {**translated, "prompt": "\n\n".join(message_texts(request))}, dropped

    def answer_to_openai(self, answer: Mapping[str, Any]) -> Translated:
        """Make each text the content of a message."""
        choices = [_to_openai(as_object(choice), "message") for choice in as_list(answer.get("choices"))]
        return {**answer, "object": "chat.completion", "choices": choices}, []

    def answer_from_openai(self, answer: Mapping[str, Any]) -> Translated:
        """Keep the content of each message, and no tool call."""
        dropped: list[str] = []
        choices = [_from_openai(as_object(choice), "message", dropped) for choice in as_list(answer.get("choices"))]
        return {**answer, "object": "text_completion", "choices": choices}, dropped

    def stream_to_openai(self, *, wants_usage: bool) -> "ToChunks":  # noqa: ARG002 - the caller asked for it or not
        """Make a translator of events to chunks."""
        return ToChunks()

    def stream_from_openai(self, *, wants_usage: bool) -> "FromChunks":
        """Make a translator of chunks to events."""
        return FromChunks(wants_usage=wants_usage)


class ToChunks:
    """Translates events to the chunks of a chat completion."""

    def __init__(self) -> None:
        self.dropped: list[str] = []

    def feed(self, data: Mapping[str, Any]) -> bytes:
        """Translate one event."""
        choices = [_to_openai(as_object(choice), "delta") for choice in as_list(data.get("choices"))]
        return event({**data, "object": "chat.completion.chunk", "choices": choices})

    def end(self) -> bytes:
        """Return the end mark."""
        return event(DONE)


class FromChunks:
    """Translates the chunks of a chat completion to events.

    Args:
        wants_usage: whether the caller asked for the usage.
    """

    def __init__(self, *, wants_usage: bool) -> None:
        self.dropped: list[str] = []
        self._wants_usage = wants_usage

    def feed(self, data: Mapping[str, Any]) -> bytes:
        """Translate one chunk."""
        choices = [_from_openai(as_object(choice), "delta", self.dropped) for choice in as_list(data.get("choices"))]
        if not choices and not self._wants_usage:
            return b""
        return event({**data, "object": "text_completion", "choices": choices})

    def end(self) -> bytes:
        """Return the end mark."""
        return event(DONE)


def _shared(request: Mapping[str, Any], translated: str) -> Translated:
    found = {name: request[name] for name in _SHARED if request.get(name) is not None}
    dropped = [f"request.{name}" for name in request if name not in (*_SHARED, translated)]
    return found, dropped


def _to_openai(choice: Mapping[str, Any], name: str) -> dict[str, Any]:
    message = {"role": "assistant", "content": choice.get("text", "")}
    ends = {"finish_reason": choice.get("finish_reason"), "logprobs": None}
    return {"index": choice.get("index", 0), name: message, **ends}


def _from_openai(choice: Mapping[str, Any], name: str, dropped: list[str]) -> dict[str, Any]:
    message = as_object(choice.get(name))
    dropped += [f"response.{lost}" for lost in ("tool_calls", "reasoning_content") if message.get(lost)]
    ends = {"finish_reason": choice.get("finish_reason"), "logprobs": None}
    return {"text": message.get("content") or "", "index": choice.get("index", 0), **ends}
