"""The protocols of wire formats: the formats in which callers and providers send requests and answers.

A package offers a further format by an entry point of the group `synthbench.wires`; see `pivot` for how little one
has to write.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from synthbench.contracts.records import Usage
from synthbench.contracts.sampling import Sampling
from synthbench.contracts.steps import Action, Observation
from synthbench.wire.assembling import Assembler
from synthbench.wire.extent import Extent
from synthbench.wire.provider_metadata import ProviderMetadata
from synthbench.wire.refusal import Refusal
from synthbench.wire.request import ModelRequest
from synthbench.wire.sampling import SamplingFields
from synthbench.wire.sse import SseEvent
from synthbench.wire.tool_calls import CallIds

Translated = tuple[dict[str, Any], list[str]]
"""An object in another format, and the names of the fields that did not carry over."""


class ProviderError(Exception):
    """Raised when a provider says inside of an answer, whose status was 200, that it failed.

    Args:
        answer: the object with the `error`.
    """

    def __init__(self, answer: Mapping[str, Any]) -> None:
        super().__init__("the provider says inside of its answer that it failed")
        self.answer = answer


@dataclass(frozen=True)
class ReadEvent:
    """One event of a stream, in the form in which every reader gets it."""

    event: SseEvent
    """The event as it came, or written anew."""
    data: Mapping[str, Any]
    """Its data, parsed; empty for an end mark without an object."""


class StreamTracker(Protocol):
    """Follows one stream of a provider: whether it is whole, and what it used."""

    @property
    def complete(self) -> bool:
        """Whether the end mark came, after a reason to stop."""
        ...

    @property
    def model(self) -> str:
        """The model that answers, as it says itself."""
        ...

    @property
    def usage(self) -> Usage | None:
        """Usage as the provider counted it; None until then."""
        ...

    @property
    def characters(self) -> int:
        """Length of the answer so far, for an estimate where no usage comes."""
        ...

    @property
    def answer(self) -> Mapping[str, Any]:
        """The whole answer, as far as it has come."""
        ...

    def see(self, event: SseEvent) -> ReadEvent:
        """Follow one event.

        Raises:
            ValueError: it is none of this format.
            ProviderError: the provider says that it failed.
        """
        ...


class StreamTranslator(Protocol):
    """Translates one stream, event by event."""

    dropped: list[str]
    """Names of the fields that did not carry over so far."""

    def feed(self, data: Mapping[str, Any]) -> bytes:
        """Translate the data of one event; return the events that follow from it, maybe none."""
        ...

    def end(self) -> bytes:
        """Return the events that close the stream, its usage and end mark included."""
        ...


class WireFormat(Protocol):
    """One format of requests and answers."""

    name: str
    path: str
    """Path of the API, below the base of the URL and with `/v1`."""

    def read(self, body: bytes) -> ModelRequest:
        """Read a request.

        Raises:
            Refusal: 400, it is none.
        """
        ...

    def extent(self, request: Mapping[str, Any]) -> Extent:
        """Return how much a request asks for at most.

        Raises:
            Refusal: 400, a figure is none, or what is asked for has a price that is not counted.
        """
        ...

    def call_ids(self, request: Mapping[str, Any]) -> set[str]:
        """Return the ids of all tool calls in a request's messages."""
        ...

    def usage_fields(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields to change so that a stream tells its usage; none where it always does."""
        ...

    def sampling_fields(self, sampling: Sampling, request: Mapping[str, Any], *, reasoning: bool) -> SamplingFields:
        """Return sampling parameters in this format's words.

        Args:
            sampling: those that the request does not name itself.
            request: the caller's, in any format.
            reasoning: whether the model is a reasoning model, which takes `max_completion_tokens` at OpenAI.
        """
        ...

    def is_answer(self, answer: Mapping[str, Any]) -> bool:
        """Return whether an object looks like a whole answer."""
        ...

    def usage(self, answer: Mapping[str, Any]) -> Usage | None:
        """Normalise the usage of a whole answer; None where it cannot be believed."""
        ...

    def settled(self, answer: Mapping[str, Any], ids: CallIds) -> Mapping[str, Any]:
        """Return a whole answer in which every tool call has an id of its own; the same object if nothing changes."""
        ...

    def assembler(self, ids: CallIds | None = None) -> Assembler:
        """Make the assembler of a stream; `ids` gives its tool calls their ids, and None leaves them as they come."""
        ...

    def tracker(self, ids: CallIds) -> StreamTracker:
        """Make the tracker of a stream, whose tool calls get their ids from `ids`."""
        ...

    def is_end(self, event: SseEvent, data: Mapping[str, Any]) -> bool:
        """Return whether an event is the end mark of a stream."""
        ...

    def stream_of(self, answer: Mapping[str, Any]) -> list[bytes]:
        """Return a whole answer as the events of a stream with usage; the last is the end mark."""
        ...

    def request_to_openai(self, request: Mapping[str, Any], *, reasoning: bool = False) -> Translated:
        """Translate a request to OpenAI's chat completions, for a reasoning model or another one.

        Raises:
            Refusal: 400, what it asks for has no counterpart, and without it the answer would be another one.
        """
        ...

    def request_from_openai(self, request: Mapping[str, Any], *, max_tokens: int = 0) -> Translated:
        """Translate a request of OpenAI's chat completions to this format.

        Args:
            request: in OpenAI's format.
            max_tokens: for a request that does not limit its answer, where the format insists on a limit.

        Raises:
            Refusal: 400, what it asks for has no counterpart, and without it the answer would be another one.
        """
        ...

    def answer_to_openai(self, answer: Mapping[str, Any]) -> Translated:
        """Translate a whole answer to a chat completion."""
        ...

    def answer_from_openai(self, answer: Mapping[str, Any]) -> Translated:
        """Translate a chat completion to an answer of this format."""
        ...

    def stream_to_openai(self, *, wants_usage: bool) -> StreamTranslator:
        """Make a translator of this format's events to chunks, with a last one with the usage if it is wanted."""
        ...

    def stream_from_openai(self, *, wants_usage: bool) -> StreamTranslator:
        """Make a translator of chunks to this format's events, with the usage if it is wanted or always told."""
        ...

    def metadata_of(self, answer: Mapping[str, Any]) -> dict[str, ProviderMetadata]:
        """Return what the provider wants back with the next request, by call id, for every call of an answer."""
        ...

    def restore_metadata(
        self, request: Mapping[str, Any], own: Mapping[str, ProviderMetadata], others: Mapping[str, ProviderMetadata]
    ) -> Mapping[str, Any]:
        """Give a provider back what it said, where the caller left it out.

        Args:
            request: in this format.
            own: what this model said in this attempt, by call id.
            others: what other models said: fields that this one does not know, and would refuse.

        Returns:
            The request; the same object where nothing changes.
        """
        ...

    def action_of(self, answer: Mapping[str, Any]) -> Action:
        """Return the agent's action, as the model wrote it in a whole answer."""
        ...

    def finish_reason(self, answer: Mapping[str, Any]) -> str:
        """Return why the model stopped, in OpenAI's words such as `stop` or `length`; empty where it is not said."""
        ...

    def observed(self, messages: list[Any]) -> list[Observation]:
        """Return what messages of a request say about the turn before: the tools' results, else the user's words."""
        ...

    def models_list(self, names: list[str]) -> dict[str, Any]:
        """Return the body of a list of models."""
        ...

    def refusal(self, refusal: Refusal) -> dict[str, Any]:
        """Return the body of an error."""
        ...

    def stream_error(self, refusal: Refusal) -> bytes:
        """Return the event that ends a stream which broke."""
        ...
