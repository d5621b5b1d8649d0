"""A wire format that is defined by its translation to OpenAI's chat completions and back.

Everything else of `WireFormat` follows from the translation, so that a further format is one class with eight methods.
A format overrides what it can do better or cheaper by itself.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import orjson

from synthbench.contracts.records import Usage
from synthbench.contracts.sampling import Sampling
from synthbench.contracts.steps import Action, Observation
from synthbench.wire.assembling import Assembler, TranslatingAssembler
from synthbench.wire.completions import stream_of_completion
from synthbench.wire.extent import Extent, extent_of
from synthbench.wire.openai_requests import read_completion_request
from synthbench.wire.protocols import StreamTracker, StreamTranslator, Translated
from synthbench.wire.provider_metadata import ProviderMetadata
from synthbench.wire.reading import parsed
from synthbench.wire.refusal import Refusal
from synthbench.wire.request import ModelRequest
from synthbench.wire.sampling import SamplingFields, openai_sampling
from synthbench.wire.sse import DONE, SseEvent, event
from synthbench.wire.tool_calls import CallIds, openai_call_ids
from synthbench.wire.trackers import TranslatingTracker
from synthbench.wire.turns import first_choice, observed_in_messages, read_action
from synthbench.wire.usage import usage_of


class PivotedWireFormat(ABC):
    """The base of a wire format; see `synthbench.wire.protocols.WireFormat` for what each method returns."""

    name: str
    path: str

    @abstractmethod
    def is_answer(self, answer: Mapping[str, Any]) -> bool:
        """Return whether an object looks like a whole answer."""

    @abstractmethod
    def request_to_openai(self, request: Mapping[str, Any], *, reasoning: bool = False) -> Translated:
        """Translate a request to OpenAI's chat completions."""

    @abstractmethod
    def request_from_openai(self, request: Mapping[str, Any], *, max_tokens: int = 0) -> Translated:
        """Translate a request of OpenAI's chat completions to this format."""

    @abstractmethod
    def answer_to_openai(self, answer: Mapping[str, Any]) -> Translated:
        """Translate a whole answer to a chat completion."""

    @abstractmethod
    def answer_from_openai(self, answer: Mapping[str, Any]) -> Translated:
        """Translate a chat completion to an answer of this format."""

    @abstractmethod
    def stream_to_openai(self, *, wants_usage: bool) -> StreamTranslator:
        """Make a translator of this format's events to chunks."""

    @abstractmethod
    def stream_from_openai(self, *, wants_usage: bool) -> StreamTranslator:
        """Make a translator of chunks to this format's events."""

    def read(self, body: bytes) -> ModelRequest:
        """Read a request by its translation.

        Raises:
            Refusal: 400, it is none.
        """
        request = parsed(body)
        translated, _ = self.request_to_openai(request)
        read = read_completion_request(self.name, orjson.dumps(translated))
        return replace(read, body=body, request=request, stream=bool(request.get("stream")))

    def extent(self, request: Mapping[str, Any]) -> Extent:
        """Return how much a request asks for at most, by its translation.

        Raises:
            Refusal: 400, a figure is none, or what is asked for has a price that is not counted.
        """
        return extent_of(self.request_to_openai(request)[0])

    def call_ids(self, request: Mapping[str, Any]) -> set[str]:
        """Return the ids of all tool calls in the translated request."""
        return openai_call_ids(self.request_to_openai(request)[0])

    def usage_fields(self, request: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ARG002 - as in the protocol
        """Return none: a stream always tells its usage."""
        return {}

    def sampling_fields(self, sampling: Sampling, request: Mapping[str, Any], *, reasoning: bool) -> SamplingFields:  # noqa: ARG002 - as in the protocol
        """Return sampling parameters in OpenAI's words."""
        return openai_sampling(sampling, reasoning=reasoning)

    def usage(self, answer: Mapping[str, Any]) -> Usage | None:
        """Normalise the usage of the translated answer."""
        return usage_of("openai", self.answer_to_openai(answer)[0])

    def settled(self, answer: Mapping[str, Any], ids: CallIds) -> Mapping[str, Any]:  # noqa: ARG002 - as in the protocol
        """Return the answer as it is: its tool calls keep their ids."""
        return answer

    def assembler(self, ids: CallIds | None = None) -> Assembler:
        """Make an assembler of the translated stream."""
        return TranslatingAssembler(self.stream_to_openai(wants_usage=True), self.answer_from_openai, ids)

    def tracker(self, ids: CallIds) -> StreamTracker:
        """Make a tracker of the translated stream."""
        return TranslatingTracker(self.stream_to_openai(wants_usage=True), self.answer_from_openai, self.is_end, ids)

    def is_end(self, event: SseEvent, data: Mapping[str, Any]) -> bool:  # noqa: ARG002 - as in the protocol
        """Return whether an event is OpenAI's end mark."""
        return event.data == DONE

    def stream_of(self, answer: Mapping[str, Any]) -> list[bytes]:
        """Return a whole answer as the events of the translated stream."""
        translator = self.stream_from_openai(wants_usage=True)
        completion, _ = self.answer_to_openai(answer)
        return [*(translator.feed(chunk) for chunk in stream_of_completion(completion)), translator.end()]

    def metadata_of(self, answer: Mapping[str, Any]) -> dict[str, ProviderMetadata]:  # noqa: ARG002 - as in the protocol
        """Return none: nothing is given back in this format."""
        return {}

    def restore_metadata(
        self,
        request: Mapping[str, Any],
        own: Mapping[str, ProviderMetadata],  # noqa: ARG002 - as in the protocol
        others: Mapping[str, ProviderMetadata],  # noqa: ARG002 - as in the protocol
    ) -> Mapping[str, Any]:
        """Return the request as it is: nothing is given back in this format."""
        return request

    def action_of(self, answer: Mapping[str, Any]) -> Action:
        """Return the action of the translated answer."""
        return read_action(first_choice(self.answer_to_openai(answer)[0]).get("message"))

    def finish_reason(self, answer: Mapping[str, Any]) -> str:
        """Return why the model stopped, by the translated answer."""
        return str(first_choice(self.answer_to_openai(answer)[0]).get("finish_reason") or "")

    def observed(self, messages: list[Any]) -> list[Observation]:
        """Return the observations in translated messages."""
        translated, _ = self.request_to_openai({"messages": messages})
        return observed_in_messages(translated["messages"])

    def models_list(self, names: list[str]) -> dict[str, Any]:
        """Return the body of a list of models, as OpenAI's API has it."""
        entries = [{"id": name, "object": "model", "created": 0, "owned_by": name.partition("/")[0]} for name in names]
        return {"object": "list", "data": entries}

    def refusal(self, refusal: Refusal) -> dict[str, Any]:
        """Return the body of an error, as OpenAI's API has it."""
        kind = "invalid_request_error" if refusal.status < 500 else "api_error"
        return {"error": {"message": str(refusal), "type": kind, "param": None, "code": refusal.code}}

    def stream_error(self, refusal: Refusal) -> bytes:
        """Return an event that the SDK raises as an error; no end mark follows."""
        return event(self.refusal(refusal))
