"""Answers on their way from a provider to a caller: untouched in the same wire format, translated between two. Pure."""

from collections.abc import Mapping
from typing import Any, Protocol

import orjson

from synthbench.wire.protocols import StreamTranslator, WireFormat
from synthbench.wire.request import ModelRequest
from synthbench.wire.sse import DONE, Splitter, SseEvent


def answer_for(
    caller: WireFormat, provider: WireFormat, answer: Mapping[str, Any], body: bytes
) -> tuple[bytes, list[str]]:
    """Return a provider's whole answer as the caller gets it, and the names of the fields that did not carry over.

    Args:
        caller: format of the caller.
        provider: format of the provider.
        answer: the provider's.
        body: the same, as JSON.
    """
    if caller.name == provider.name:
        return body, []
    completion, lost = provider.answer_to_openai(answer)
    translated, dropped = caller.answer_from_openai(completion)
    return orjson.dumps(translated), [*lost, *dropped]


class Relay(Protocol):
    """The caller's side of one stream. The end mark is held back until all is written down."""

    @property
    def dropped(self) -> list[str]:
        """Names of the fields that did not carry over so far."""
        ...

    def feed(self, event: SseEvent, data: Mapping[str, Any]) -> bytes:
        """Return the bytes that go out to the caller for one event of the provider."""
        ...

    def end(self) -> bytes:
        """Return the bytes that close a stream that is whole."""
        ...


def relay_for(request: ModelRequest, caller: WireFormat, provider: WireFormat) -> Relay:
    """Make the relay of one stream.

    Args:
        request: the caller's.
        caller: format of the caller.
        provider: format of the provider.
    """
    if caller.name == provider.name:
        return UntouchedRelay(provider, wants_usage=request.wants_usage)
    if caller.name == "openai":
        return TranslatingRelay([provider.stream_to_openai(wants_usage=request.wants_usage)])
    back = caller.stream_from_openai(wants_usage=request.wants_usage)
    if provider.name == "openai":
        return TranslatingRelay([back])
    return TranslatingRelay([provider.stream_to_openai(wants_usage=True), back])


class UntouchedRelay:
    """Passes events as they come: caller and provider speak the same format.

    Args:
        wire: the format.
        wants_usage: whether the caller asked for the usage that we always ask for.
    """

    def __init__(self, wire: WireFormat, *, wants_usage: bool) -> None:
        self._wire = wire
        self._wants_usage = wants_usage
        self._end = b""

    @property
    def dropped(self) -> list[str]:
        """None: everything carries over."""
        return []

    def feed(self, event: SseEvent, data: Mapping[str, Any]) -> bytes:
        """Return the event, without a usage that the caller did not ask for; none for the end mark."""
        if self._wire.is_end(event, data):
            self._end = event.raw
            return b""
        if self._wants_usage or "usage" not in data:
            return event.raw
        if not data.get("choices"):
            return b""
        return event.raw.replace(b',"usage":null', b"")

    def end(self) -> bytes:
        """Return the end mark."""
        return self._end


class TranslatingRelay:
    """Translates events from one format to another, maybe by way of OpenAI's.

    Args:
        translators: one after the other; the events of each are the next one's input.
    """

    def __init__(self, translators: list[StreamTranslator]) -> None:
        self._translators = translators

    @property
    def dropped(self) -> list[str]:
        """Names of the fields that did not carry over so far."""
        return [name for translator in self._translators for name in translator.dropped]

    def feed(self, event: SseEvent, data: Mapping[str, Any]) -> bytes:  # noqa: ARG002 - as in the protocol
        """Return the translated events."""
        return self._through(self._translators[0].feed(data), 1) if data else b""

    def end(self) -> bytes:
        """Return the events that close the stream, the end mark included."""
        out = b""
        for number, translator in enumerate(self._translators, start=1):
            out += self._through(translator.end(), number)
        return out

    def _through(self, events: bytes, first: int) -> bytes:
        """Pass events through the translators from the one at `first` on."""
        for translator in self._translators[first:]:
            parsed = Splitter(len(events) + 1).feed(events)
            events = b"".join(translator.feed(event.object()) for event in parsed if event.data != DONE)
        return events
