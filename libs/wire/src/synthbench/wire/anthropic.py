"""Anthropic's messages. Source: Anthropic's API reference, "Messages", "Streaming Messages" and "Errors"."""

from collections.abc import Mapping
from typing import Any

from synthbench.contracts.loose import as_list, as_object
from synthbench.contracts.records import Usage
from synthbench.wire.assembling import MessageAssembler
from synthbench.wire.extent import extent_of
from synthbench.wire.protocols import ProviderError, ReadEvent, StreamTracker
from synthbench.wire.reading import characters_of, check_tool, invalid, list_of, parsed
from synthbench.wire.refusal import Refusal
from synthbench.wire.request import ModelRequest
from synthbench.wire.sse import SseEvent, event
from synthbench.wire.tool_calls import CallIds
from synthbench.wire.usage import estimate_tokens, usage_of

_IMAGE_TOKENS = 1600
_KINDS = {
    400: "invalid_request_error", 401: "authentication_error", 402: "billing_error", 403: "permission_error",
    404: "not_found_error", 413: "request_too_large", 429: "rate_limit_error", 504: "timeout_error",
    529: "overloaded_error",
}  # fmt: skip


class AnthropicWire:
    """`POST /v1/messages`."""

    name = "anthropic"
    path = "/v1/messages"

    def read(self, body: bytes) -> ModelRequest:
        """See `WireFormat`."""
        request = parsed(body)
        images = _check_messages(as_list(request.get("messages")))
        tools = list_of(request, "tools")
        for number, tool in enumerate(map(as_object, tools)):
            if tool.get("type") in (None, "custom"):
                check_tool(f"tools.{number}", tool.get("name"), tool.get("input_schema"))
        if request.get("max_tokens") is None:
            raise invalid("max_tokens: say how many tokens the answer may have")
        extent_of(request)
        model = request.get("model")
        if model is not None and not isinstance(model, str):
            raise invalid("model: name a model")
        characters = len(body)
        if images:
            characters = characters_of([request["messages"], request.get("system")])
        return ModelRequest(
            wire=self.name,
            model=model or "",
            body=body,
            request=request,
            stream=bool(request.get("stream")),
            input_tokens=estimate_tokens(characters) + images * _IMAGE_TOKENS,
            tools=bool(tools),
            vision=bool(images),
        )

    def usage(self, answer: Mapping[str, Any]) -> Usage | None:
        """See `WireFormat`."""
        return usage_of(self.name, answer)

    def is_answer(self, answer: Mapping[str, Any]) -> bool:
        """See `WireFormat`."""
        return answer.get("type") == "message" and isinstance(answer.get("content"), list)

    def tracker(self, ids: CallIds) -> StreamTracker:
        """See `WireFormat`."""
        return AnthropicTracker(ids)

    def settled(self, answer: Mapping[str, Any], ids: CallIds) -> Mapping[str, Any]:
        """See `WireFormat`."""
        given = [as_object(block) for block in as_list(answer.get("content"))]
        content = [
            {**block, "id": ids.assign(str(block.get("id") or ""))} if block.get("type") == "tool_use" else block
            for block in given
        ]
        return answer if content == given else {**answer, "content": content}

    def stream_of(self, answer: Mapping[str, Any]) -> list[bytes]:
        """See `WireFormat`."""
        usage = as_object(answer.get("usage"))
        opening: dict[str, Any] = {**answer, "content": [], "stop_reason": None, "stop_sequence": None}
        events = [event({"type": "message_start", "message": opening}, "message_start")]
        for index, block in enumerate(map(as_object, as_list(answer.get("content")))):
            events += _block_events(index, block)
        delta = {"stop_reason": answer.get("stop_reason"), "stop_sequence": answer.get("stop_sequence")}
        end = {"type": "message_delta", "delta": delta, "usage": usage}
        return [*events, event(end, "message_delta"), event({"type": "message_stop"}, "message_stop")]

    def refusal(self, refusal: Refusal) -> dict[str, Any]:
        """As Anthropic's API says it, with our code beside."""
        fallback = "invalid_request_error" if refusal.status < 500 else "api_error"
        kind = _KINDS.get(refusal.status, fallback)
        return {"type": "error", "error": {"type": kind, "message": str(refusal), "code": refusal.code}}

    def stream_error(self, refusal: Refusal) -> bytes:
        """An event that the SDK raises as an error; no end mark follows."""
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


class AnthropicTracker:
    """Follows events.

    Args:
        ids: gives tool calls their ids.
    """

    def __init__(self, ids: CallIds) -> None:
        self.complete = False
        self.model = ""
        self.characters = 0
        self._stopped = False
        self._counted = False
        self._assembler = MessageAssembler(ids)

    @property
    def usage(self) -> Usage | None:
        """What `message_start` and `message_delta` say together; None before the latter."""
        return self._assembler.usage if self._counted else None

    @property
    def answer(self) -> Mapping[str, Any]:
        """See `StreamTracker`."""
        return self._assembler.answer()

    def see(self, event: SseEvent) -> ReadEvent:
        """See `StreamTracker`."""
        given = event.object()
        if given.get("type") == "error":
            raise ProviderError(given)
        if not isinstance(given.get("type"), str):
            raise ValueError("no event of a message")  # noqa: TRY004 - as in the protocol
        data = self._assembler.feed(given)
        match data["type"]:
            case "message_start":
                self.model = str(as_object(data.get("message")).get("model") or "")
            case "content_block_delta":
                delta = as_object(data.get("delta"))
                self.characters += sum(len(str(delta.get(name) or "")) for name in ("text", "thinking", "partial_json"))
            case "message_delta":
                self._counted = True
                self._stopped = self._stopped or bool(as_object(data.get("delta")).get("stop_reason"))
            case "message_stop":
                self.complete = self._stopped
            case _:
                pass
        return ReadEvent(event if data is given else event.anew(data, str(data["type"])), data)


def _check_messages(messages: list[Any]) -> int:
    """Refuse messages that are none, or in an order that no provider takes; return the number of images."""
    if not messages:
        raise invalid("the body is no messages request: messages must be a list of roles and contents")
    images = 0
    waiting: set[str] = set()
    for number, message in enumerate(map(as_object, messages)):
        if message.get("role") not in ("user", "assistant", "system"):
            raise invalid(f"messages.{number}: the role is user or assistant; a system prompt is a field of its own")
        content = message.get("content")
        blocks = [as_object(block) for block in as_list(content)]
        results = {str(block.get("tool_use_id")) for block in blocks if block.get("type") == "tool_result"}
        if results - waiting:
            raise invalid(f"messages.{number}: a tool_result answers a tool_use of the assistant's turn before it")
        if waiting - results:
            raise invalid(f"messages.{number}: tool_use without a tool_result: {', '.join(sorted(waiting - results))}")
        waiting = {str(block.get("id")) for block in blocks if block.get("type") == "tool_use"}
        images += sum(block.get("type") == "image" for block in blocks)
    if waiting:
        raise invalid(f"messages: tool_use without a tool_result: {', '.join(sorted(waiting))}")
    return images
