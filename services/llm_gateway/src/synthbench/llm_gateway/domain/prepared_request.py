"""The request that a provider gets, and what the caller gets of its answer: untouched on the same wire, translated
across. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import orjson

from synthbench.contracts.loose import as_object
from synthbench.contracts.sampling import Sampling
from synthbench.llm_gateway.domain.catalogue import Model
from synthbench.llm_gateway.domain.sampling import additions, recorded
from synthbench.wire.request import ModelRequest
from synthbench.wire.splice import with_fields
from synthbench.wire.sse import DONE, SseEvent
from synthbench.wire.translate import (
    AnthropicToOpenAI,
    OpenAIToAnthropic,
    anthropic_answer,
    anthropic_request,
    openai_answer,
    openai_request,
)

_NOTHING = Sampling()


@dataclass(frozen=True)
class PreparedRequest:
    """One request in the provider's wire."""

    request: Mapping[str, Any]
    body: bytes
    dropped: tuple[str, ...] = ()
    sampling: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """What it says of how it is answered."""


def prepare(asked: ModelRequest, wire: str, name: str, model: Model, sampling: Sampling = _NOTHING) -> PreparedRequest:
    """Write the request for a provider.

    Args:
        asked: what came in.
        wire: the provider's.
        name: what the provider calls the model.
        model: what is known of it.
        sampling: for what the request does not say itself; the model's own comes after it.

    Raises:
        Refusal: 400, it cannot be said on that wire.
    """
    sampling = sampling.over(model.sampling)
    added = additions(asked.request, sampling, wire, reasoning=model.reasoning)
    if asked.wire == wire:
        changes: dict[str, Any] = {"model": name, **added.fields}
        if asked.stream and wire == "openai" and not asked.wants_usage:
            options = as_object(asked.request.get("stream_options"))
            changes["stream_options"] = {**options, "include_usage": True}
        request = {**asked.request, **changes}
        body = with_fields(asked.body, asked.request, changes)
        return PreparedRequest(request, body, tuple(added.dropped), recorded(request, sampling.extra_body))
    if wire == "anthropic":
        made, dropped = anthropic_request(asked.request, max_tokens=model.max_output or 0)
    else:
        made, dropped = openai_request(asked.request, reasoning=model.reasoning)
    made |= {"model": name, **added.fields}
    return PreparedRequest(made, orjson.dumps(made), (*dropped, *added.dropped), recorded(made, sampling.extra_body))


def answer_for(asked: ModelRequest, wire: str, answer: Mapping[str, Any], body: bytes) -> tuple[bytes, list[str]]:
    """The caller's body of a provider's whole answer, and what did not carry over."""
    if asked.wire == wire:
        return body, []
    made, dropped = openai_answer(answer) if asked.wire == "openai" else anthropic_answer(answer)
    return orjson.dumps(made), dropped


class Relay(Protocol):
    """What the caller gets of each event of a stream. The end mark is held back until all is written down."""

    dropped: list[str]

    def feed(self, event: SseEvent, data: Mapping[str, Any]) -> bytes:
        """What goes out for one event."""
        ...

    def end(self) -> bytes:
        """What closes a stream that is whole."""
        ...


def relay_for(asked: ModelRequest, wire: str) -> Relay:
    """Make the relay of one stream."""
    if asked.wire == wire:
        return Untouched(wants_usage=asked.wants_usage)
    translator = AnthropicToOpenAI(wants_usage=asked.wants_usage) if asked.wire == "openai" else OpenAIToAnthropic()
    return Translated(translator)


class Untouched:
    """The same wire on both sides.

    Args:
        wants_usage: whether the caller asked for the usage that we always ask for.
    """

    def __init__(self, *, wants_usage: bool) -> None:
        self.dropped: list[str] = []
        self._wants_usage = wants_usage
        self._end = b""

    def feed(self, event: SseEvent, data: Mapping[str, Any]) -> bytes:
        """See `Relay`."""
        if event.data == DONE or data.get("type") == "message_stop":
            self._end = event.raw
            return b""
        if self._wants_usage or "usage" not in data:
            return event.raw
        if not data.get("choices"):
            return b""
        return event.raw.replace(b',"usage":null', b"")

    def end(self) -> bytes:
        """See `Relay`."""
        return self._end


class Translated:
    """Across wires."""

    def __init__(self, translator: AnthropicToOpenAI | OpenAIToAnthropic) -> None:
        self._translator = translator
        self.dropped = translator.dropped

    def feed(self, event: SseEvent, data: Mapping[str, Any]) -> bytes:  # noqa: ARG002 - as in the protocol
        """See `Relay`."""
        return self._translator.feed(data) if data else b""

    def end(self) -> bytes:
        """See `Relay`."""
        return self._translator.end()
