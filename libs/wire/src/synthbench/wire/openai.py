"""OpenAI's chat completions. Source: OpenAI's API reference, "Chat Completions" and its streaming events."""

from collections.abc import Mapping
from typing import Any

from synthbench.contracts.loose import as_list, as_object
from synthbench.contracts.records import Usage
from synthbench.contracts.steps import Observation
from synthbench.wire.assembling import CompletionAssembler
from synthbench.wire.completions import stream_of_completion
from synthbench.wire.extent import Extent, extent_of
from synthbench.wire.openai_requests import read_completion_request
from synthbench.wire.pivot import PivotedWireFormat
from synthbench.wire.protocols import Translated
from synthbench.wire.provider_metadata import ProviderMetadata, metadata_of_calls, restore_on_calls
from synthbench.wire.request import ModelRequest
from synthbench.wire.sse import DONE, event
from synthbench.wire.tool_calls import CallIds, openai_call_ids, settled_calls
from synthbench.wire.trackers import CompletionTracker
from synthbench.wire.translate import UntranslatedStream
from synthbench.wire.turns import observed_in_messages
from synthbench.wire.usage import usage_of


class OpenAIWire(PivotedWireFormat):
    """`POST /v1/chat/completions`, the format to which the others are translated."""

    name = "openai"
    path = "/v1/chat/completions"

    def read(self, body: bytes) -> ModelRequest:
        """Read a request.

        Raises:
            Refusal: 400, it is none.
        """
        return read_completion_request(self.name, body)

    def extent(self, request: Mapping[str, Any]) -> Extent:
        """Return how much a request asks for at most.

        Raises:
            Refusal: 400, a figure is none, or what is asked for has a price that is not counted.
        """
        return extent_of(request)

    def call_ids(self, request: Mapping[str, Any]) -> set[str]:
        """Return the ids of all tool calls in a request's messages."""
        return openai_call_ids(request)

    def usage_fields(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Return the option of streams that asks for a last chunk with the usage."""
        return {"stream_options": {**as_object(request.get("stream_options")), "include_usage": True}}

    def is_answer(self, answer: Mapping[str, Any]) -> bool:
        """Return whether every choice has a message."""
        choices = [as_object(choice) for choice in as_list(answer.get("choices"))]
        return bool(choices) and all(isinstance(choice.get("message"), dict) for choice in choices)

    def usage(self, answer: Mapping[str, Any]) -> Usage | None:
        """Normalise the usage of a whole answer; None where it cannot be believed."""
        return usage_of("openai", answer)

    def settled(self, answer: Mapping[str, Any], ids: CallIds) -> Mapping[str, Any]:
        """Return a whole answer in which every tool call has an id of its own; the same object if nothing changes."""
        given = [as_object(choice) for choice in as_list(answer.get("choices"))]
        choices = [_settled(choice, ids) for choice in given]
        return answer if choices == given else {**answer, "choices": choices}

    def assembler(self, ids: CallIds | None = None) -> CompletionAssembler:
        """Make the assembler of a stream."""
        return CompletionAssembler(ids)

    def tracker(self, ids: CallIds) -> CompletionTracker:
        """Make the tracker of a stream."""
        return CompletionTracker(ids)

    def stream_of(self, answer: Mapping[str, Any]) -> list[bytes]:
        """Return a whole answer as the events of a stream with usage; the last is the end mark."""
        return [*(event(chunk) for chunk in stream_of_completion(answer)), event(DONE)]

    def request_to_openai(self, request: Mapping[str, Any], *, reasoning: bool = False) -> Translated:  # noqa: ARG002 - as in the protocol
        """Return the request as it is."""
        return dict(request), []

    def request_from_openai(self, request: Mapping[str, Any], *, max_tokens: int = 0) -> Translated:  # noqa: ARG002 - as in the protocol
        """Return the request as it is."""
        return dict(request), []

    def answer_to_openai(self, answer: Mapping[str, Any]) -> Translated:
        """Return the answer as it is."""
        return dict(answer), []

    def answer_from_openai(self, answer: Mapping[str, Any]) -> Translated:
        """Return the answer as it is."""
        return dict(answer), []

    def stream_to_openai(self, *, wants_usage: bool) -> UntranslatedStream:  # noqa: ARG002 - as in the protocol
        """Make a translator that passes chunks as they are."""
        return UntranslatedStream()

    def stream_from_openai(self, *, wants_usage: bool) -> UntranslatedStream:  # noqa: ARG002 - as in the protocol
        """Make a translator that passes chunks as they are."""
        return UntranslatedStream()

    def metadata_of(self, answer: Mapping[str, Any]) -> dict[str, ProviderMetadata]:
        """Return what the provider wants back with the next request, by call id, for every call of an answer."""
        return metadata_of_calls(answer)

    def restore_metadata(
        self, request: Mapping[str, Any], own: Mapping[str, ProviderMetadata], others: Mapping[str, ProviderMetadata]
    ) -> Mapping[str, Any]:
        """Give a provider back what it said, where the caller left it out."""
        return restore_on_calls(request, own, others)

    def observed(self, messages: list[Any]) -> list[Observation]:
        """Return what messages of a request say about the turn before: the tools' results, else the user's words."""
        return observed_in_messages(messages)


def _settled(choice: dict[str, Any], ids: CallIds) -> dict[str, Any]:
    message = as_object(choice.get("message"))
    if not as_list(message.get("tool_calls")):
        return choice
    return {**choice, "message": {**message, "tool_calls": settled_calls(message["tool_calls"], ids)}}
