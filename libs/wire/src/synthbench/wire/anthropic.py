"""Anthropic's messages. Source: Anthropic's API reference, "Messages", "Streaming Messages" and "Errors"."""

from collections.abc import Mapping
from typing import Any

from synthbench.contracts.loose import as_list, as_object
from synthbench.contracts.records import Usage
from synthbench.contracts.sampling import Sampling
from synthbench.contracts.steps import Action, Observation
from synthbench.wire.anthropic_requests import read_message_request
from synthbench.wire.assembling import MessageAssembler
from synthbench.wire.extent import Extent, extent_of
from synthbench.wire.pivot import PivotedWireFormat
from synthbench.wire.protocols import Translated
from synthbench.wire.provider_metadata import ProviderMetadata, metadata_of_blocks, restore_on_blocks
from synthbench.wire.refusal import Refusal
from synthbench.wire.request import ModelRequest
from synthbench.wire.sampling import SamplingFields, anthropic_sampling
from synthbench.wire.sse import SseEvent, event
from synthbench.wire.tool_calls import CallIds, anthropic_call_ids
from synthbench.wire.trackers import MessageTracker
from synthbench.wire.translate import (
    AnthropicToOpenAI,
    OpenAIToAnthropic,
    anthropic_answer,
    anthropic_request,
    openai_answer,
    openai_request,
)
from synthbench.wire.turns import action_of_blocks, finish_reason_of, observed_in_blocks
from synthbench.wire.usage import usage_of

_KINDS = {
    400: "invalid_request_error", 401: "authentication_error", 402: "billing_error", 403: "permission_error",
    404: "not_found_error", 413: "request_too_large", 429: "rate_limit_error", 504: "timeout_error",
    529: "overloaded_error",
}  # fmt: skip


class AnthropicWire(PivotedWireFormat):
    """The format of `POST /v1/messages`."""

    name = "anthropic"
    path = "/v1/messages"

    def read(self, body: bytes) -> ModelRequest:
        """Read a request.

        Raises:
            Refusal: 400, it is none.
        """
        return read_message_request(self.name, body)

    def extent(self, request: Mapping[str, Any]) -> Extent:
        """Return how much a request asks for at most.

        Raises:
            Refusal: 400, a figure is none, or what is asked for has a price that is not counted.
        """
        return extent_of(request)

    def call_ids(self, request: Mapping[str, Any]) -> set[str]:
        """Return the ids of all tool calls in a request's messages."""
        return anthropic_call_ids(request)

    def sampling_fields(self, sampling: Sampling, request: Mapping[str, Any], *, reasoning: bool) -> SamplingFields:  # noqa: ARG002 - as in the protocol
        """Return sampling parameters in Anthropic's words."""
        return anthropic_sampling(sampling, request)

    def is_answer(self, answer: Mapping[str, Any]) -> bool:
        """Return whether it is a message with a list of blocks."""
        return answer.get("type") == "message" and isinstance(answer.get("content"), list)

    def usage(self, answer: Mapping[str, Any]) -> Usage | None:
        """Normalise the usage of a whole answer; None where it cannot be believed."""
        return usage_of("anthropic", answer)

    def settled(self, answer: Mapping[str, Any], ids: CallIds) -> Mapping[str, Any]:
        """Return a whole answer in which every tool call has an id of its own; the same object if nothing changes."""
        given = [as_object(block) for block in as_list(answer.get("content"))]
        content = [
            {**block, "id": ids.assign(str(block.get("id") or ""))} if block.get("type") == "tool_use" else block
            for block in given
        ]
        return answer if content == given else {**answer, "content": content}

    def stream_of(self, answer: Mapping[str, Any]) -> list[bytes]:
        """Return a whole answer as the events of a stream with usage; the last is the end mark."""
        usage = as_object(answer.get("usage"))
        opening: dict[str, Any] = {**answer, "content": [], "stop_reason": None, "stop_sequence": None}
        events = [event({"type": "message_start", "message": opening}, "message_start")]
        for index, block in enumerate(map(as_object, as_list(answer.get("content")))):
            events += _block_events(index, block)
        delta = {"stop_reason": answer.get("stop_reason"), "stop_sequence": answer.get("stop_sequence")}
        end = {"type": "message_delta", "delta": delta, "usage": usage}
        return [*events, event(end, "message_delta"), event({"type": "message_stop"}, "message_stop")]

    def assembler(self, ids: CallIds | None = None) -> MessageAssembler:
        """Make the assembler of a stream."""
        return MessageAssembler(ids)

    def tracker(self, ids: CallIds) -> MessageTracker:
        """Make the tracker of a stream."""
        return MessageTracker(ids)

    def is_end(self, event: SseEvent, data: Mapping[str, Any]) -> bool:  # noqa: ARG002 - as in the protocol
        """Return whether an event is `message_stop`."""
        return data.get("type") == "message_stop"

    def request_to_openai(self, request: Mapping[str, Any], *, reasoning: bool = False) -> Translated:
        """Translate a request to OpenAI's chat completions."""
        return openai_request(request, reasoning=reasoning)

    def request_from_openai(self, request: Mapping[str, Any], *, max_tokens: int = 0) -> Translated:
        """Translate a request of OpenAI's chat completions.

        Raises:
            Refusal: 400, what it asks for has no counterpart, and without it the answer would be another one.
        """
        return anthropic_request(request, max_tokens=max_tokens)

    def answer_to_openai(self, answer: Mapping[str, Any]) -> Translated:
        """Translate a message to a chat completion."""
        return openai_answer(answer)

    def answer_from_openai(self, answer: Mapping[str, Any]) -> Translated:
        """Translate a chat completion to a message."""
        return anthropic_answer(answer)

    def stream_to_openai(self, *, wants_usage: bool) -> AnthropicToOpenAI:
        """Make a translator of events to chunks."""
        return AnthropicToOpenAI(wants_usage=wants_usage)

    def stream_from_openai(self, *, wants_usage: bool) -> OpenAIToAnthropic:  # noqa: ARG002 - as in the protocol
        """Make a translator of chunks to events, which always tell the usage."""
        return OpenAIToAnthropic()

    def metadata_of(self, answer: Mapping[str, Any]) -> dict[str, ProviderMetadata]:
        """Return what the provider wants back with the next request, by call id, for every call of an answer."""
        return metadata_of_blocks(answer)

    def restore_metadata(
        self, request: Mapping[str, Any], own: Mapping[str, ProviderMetadata], others: Mapping[str, ProviderMetadata]
    ) -> Mapping[str, Any]:
        """Give a provider back what it said, where the caller left it out."""
        return restore_on_blocks(request, own, others)

    def action_of(self, answer: Mapping[str, Any]) -> Action:
        """Return the agent's action, as the model wrote it in a whole answer."""
        return action_of_blocks(answer)

    def finish_reason(self, answer: Mapping[str, Any]) -> str:
        """Return why the model stopped, in OpenAI's words; empty where it does not say."""
        return finish_reason_of(answer)

    def observed(self, messages: list[Any]) -> list[Observation]:
        """Return what messages of a request say about the turn before: the tools' results, else the user's words."""
        return observed_in_blocks(messages)

    def models_list(self, names: list[str]) -> dict[str, Any]:
        """Return the body of a list of models, as Anthropic's API has it."""
        epoch = "1970-01-01T00:00:00Z"
        entries = [{"id": name, "type": "model", "display_name": name, "created_at": epoch} for name in names]
        ends = {"first_id": names[0] if names else None, "last_id": names[-1] if names else None}
        return {"data": entries, "has_more": False, **ends}

    def refusal(self, refusal: Refusal) -> dict[str, Any]:
        """Return the body of an error, as Anthropic's API has it, with our code beside."""
        fallback = "invalid_request_error" if refusal.status < 500 else "api_error"
        kind = _KINDS.get(refusal.status, fallback)
        return {"type": "error", "error": {"type": kind, "message": str(refusal), "code": refusal.code}}

    def stream_error(self, refusal: Refusal) -> bytes:
        """Return an event that the SDK raises as an error; no end mark follows."""
        return event(self.refusal(refusal), "error")


def _block_events(index: int, block: Mapping[str, Any]) -> list[bytes]:
    """A whole block as start, one delta, stop."""
    empty: dict[str, Any] = dict(block)
    deltas: list[dict[str, Any]] = []
    match block.get("type"):
        case "text":
            empty["text"] = ""
            deltas = [{"type": "text_delta", "text": block.get("text", "")}]
        case "thinking":
            empty |= {"thinking": "", "signature": ""}
            deltas = [
                {"type": "thinking_delta", "thinking": block.get("thinking", "")},
                {"type": "signature_delta", "signature": block.get("signature", "")},
            ]
        case "tool_use":
            empty["input"] = {}
            # As text, because that is how the wire streams arguments.
            deltas = [{"type": "input_json_delta", "partial_json": _json(block.get("input") or {})}]
        case _:
            pass
    start = {"type": "content_block_start", "index": index, "content_block": empty}
    return [
        event(start, "content_block_start"),
        *(event({"type": "content_block_delta", "index": index, "delta": d}, "content_block_delta") for d in deltas),
        event({"type": "content_block_stop", "index": index}, "content_block_stop"),
    ]


def _json(value: object) -> str:
    return event(value)[6:-2].decode()
