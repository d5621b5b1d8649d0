"""The wires that callers and providers speak: one module each, the same protocol."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from synthbench.contracts.records import Usage
from synthbench.wire.refusal import Refusal
from synthbench.wire.request import ModelRequest
from synthbench.wire.sse import SseEvent
from synthbench.wire.tool_calls import CallIds


class ProviderError(Exception):
    """A provider says inside of an answer, whose status was 200, that it failed.

    Args:
        answer: the object with the `error`.
    """

    def __init__(self, answer: Mapping[str, Any]) -> None:
        super().__init__("the provider says inside of its answer that it failed")
        self.answer = answer


@dataclass(frozen=True)
class ReadEvent:
    """One event of a stream, as every reader shall get it."""

    event: SseEvent
    """As it came, or written anew."""
    data: Mapping[str, Any]
    """The same, parsed; empty for an end mark without an object."""


class StreamTracker(Protocol):
    """Follows one stream of a provider: whether it is whole, and what it used."""

    @property
    def complete(self) -> bool:
        """The end mark came, after a reason to stop."""
        ...

    @property
    def model(self) -> str:
        """What answers, as it says itself."""
        ...

    @property
    def usage(self) -> Usage | None:
        """As the provider counted it; None until then."""
        ...

    @property
    def characters(self) -> int:
        """Of answer so far, for an estimate where no usage comes."""
        ...

    @property
    def answer(self) -> Mapping[str, Any]:
        """The whole answer, as far as it has come."""
        ...

    def see(self, event: SseEvent) -> ReadEvent:
        """Follow one event.

        Raises:
            ValueError: it is none of this wire.
            ProviderError: the provider says that it failed.
        """
        ...


class WireFormat(Protocol):
    """One request and answer format."""

    name: str
    path: str
    """Below the API's base, with `/v1`."""

    def read(self, body: bytes) -> ModelRequest:
        """Read a request.

        Raises:
            Refusal: 400, it is none.
        """
        ...

    def usage(self, answer: Mapping[str, Any]) -> Usage | None:
        """Normalise the usage of a whole answer; None where it cannot be believed."""
        ...

    def is_answer(self, answer: Mapping[str, Any]) -> bool:
        """Whether it looks like a whole answer."""
        ...

    def tracker(self, ids: CallIds) -> StreamTracker:
        """Follow a new stream, whose tool calls get their ids from `ids`."""
        ...

    def settled(self, answer: Mapping[str, Any], ids: CallIds) -> Mapping[str, Any]:
        """A whole answer in which every tool call has an id of its own; the same object where nothing changes."""
        ...

    def stream_of(self, answer: Mapping[str, Any]) -> list[bytes]:
        """A whole answer as the events of a stream with usage; the last is the end mark."""
        ...

    def refusal(self, refusal: Refusal) -> dict[str, Any]:
        """The body of an error."""
        ...

    def stream_error(self, refusal: Refusal) -> bytes:
        """The event that ends a stream which broke."""
        ...
