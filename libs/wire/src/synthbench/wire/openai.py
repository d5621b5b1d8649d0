"""OpenAI's chat completions. Source: OpenAI's API reference, "Chat Completions" and its streaming events."""

from collections.abc import Mapping
from typing import Any

from synthbench.contracts.loose import as_list, as_object
from synthbench.contracts.records import Usage
from synthbench.wire.assembling import CompletionAssembler
from synthbench.wire.extent import extent_of
from synthbench.wire.protocols import ProviderError, ReadEvent, StreamTracker
from synthbench.wire.reading import characters_of, check_tool, invalid, list_of, parsed
from synthbench.wire.refusal import Refusal
from synthbench.wire.request import ModelRequest
from synthbench.wire.sse import DONE, SseEvent, event
from synthbench.wire.tool_calls import CallIds, settled_calls
from synthbench.wire.usage import estimate_tokens, usage_of

_IMAGE_TOKENS = 1500


class OpenAIWire:
    """`POST /v1/chat/completions`."""

    name = "openai"
    path = "/v1/chat/completions"

    def read(self, body: bytes) -> ModelRequest:
        """See `WireFormat`."""
        request = parsed(body)
        images = _check_messages(as_list(request.get("messages")))
        tools = list_of(request, "tools")
        for number, tool in enumerate(tools):
            _check_tool(f"tools.{number}", tool)
        model = request.get("model")
        if model is not None and not isinstance(model, str):
            raise invalid("model: name a model")
        extent_of(request)
        options = as_object(request.get("stream_options"))
        characters = characters_of(request["messages"]) if images else len(body)
        return ModelRequest(
            wire=self.name,
            model=model or "",
            body=body,
            request=request,
            stream=bool(request.get("stream")),
            input_tokens=estimate_tokens(characters) + images * _IMAGE_TOKENS,
            tools=bool(tools),
            vision=bool(images),
            wants_usage=bool(options.get("include_usage")),
        )

    def usage(self, answer: Mapping[str, Any]) -> Usage | None:
        """See `WireFormat`."""
        return usage_of(self.name, answer)

    def is_answer(self, answer: Mapping[str, Any]) -> bool:
        """See `WireFormat`."""
        choices = [as_object(choice) for choice in as_list(answer.get("choices"))]
        return bool(choices) and all(isinstance(choice.get("message"), dict) for choice in choices)

    def tracker(self, ids: CallIds) -> StreamTracker:
        """See `WireFormat`."""
        return OpenAITracker(ids)

    def settled(self, answer: Mapping[str, Any], ids: CallIds) -> Mapping[str, Any]:
        """See `WireFormat`."""
        given = [as_object(choice) for choice in as_list(answer.get("choices"))]
        choices = [_settled(choice, ids) for choice in given]
        return answer if choices == given else {**answer, "choices": choices}

    def stream_of(self, answer: Mapping[str, Any]) -> list[bytes]:
        """See `WireFormat`."""
        head = {**answer, "object": "chat.completion.chunk"}
        usage = head.pop("usage", None)
        events: list[bytes] = []
        for choice in map(as_object, as_list(answer.get("choices"))):
            delta = dict(as_object(choice.get("message")))
            if calls := delta.get("tool_calls"):
                delta["tool_calls"] = [{"index": number, **as_object(call)} for number, call in enumerate(calls)]
            index = choice.get("index", 0)
            said: dict[str, Any] = {
                "index": index,
                "delta": delta,
                "logprobs": choice.get("logprobs"),
                "finish_reason": None,
            }
            end: dict[str, Any] = {
                "index": index,
                "delta": {},
                "logprobs": None,
                "finish_reason": choice.get("finish_reason"),
            }
            events += [event({**head, "choices": [said]}), event({**head, "choices": [end]})]
        if usage:
            events.append(event({**head, "choices": [], "usage": usage}))
        return [*events, event(DONE)]

    def refusal(self, refusal: Refusal) -> dict[str, Any]:
        """As OpenAI's API says it."""
        kind = "invalid_request_error" if refusal.status < 500 else "api_error"
        return {"error": {"message": str(refusal), "type": kind, "param": None, "code": refusal.code}}

    def stream_error(self, refusal: Refusal) -> bytes:
        """An event that the SDK raises as an error; no end mark follows."""
        return event(self.refusal(refusal))


class OpenAITracker:
    """Follows chunks.

    Args:
        ids: gives tool calls their ids.
    """

    def __init__(self, ids: CallIds) -> None:
        self.complete = False
        self.model = ""
        self.usage: Usage | None = None
        self.characters = 0
        self._finished = False
        self._assembler = CompletionAssembler(ids)

    @property
    def answer(self) -> Mapping[str, Any]:
        """See `StreamTracker`."""
        return self._assembler.answer()

    def see(self, event: SseEvent) -> ReadEvent:
        """See `StreamTracker`."""
        if event.data == DONE:
            self.complete = self._finished
            return ReadEvent(event, {})
        given = event.object()
        if given.get("error"):
            raise ProviderError(given)
        if not isinstance(given.get("choices"), list):
            raise ValueError("no chunk of a chat completion")  # noqa: TRY004 - as in the protocol
        chunk = self._assembler.feed(given)
        if chunk.get("usage"):
            self.usage = self._assembler.usage
        self.model = self.model or str(chunk.get("model") or "")
        for choice in map(as_object, as_list(chunk["choices"])):
            delta = as_object(choice.get("delta"))
            self.characters += len(event.data) // 4 if delta.get("tool_calls") else 0
            self.characters += len(str(delta.get("content") or "")) + len(str(delta.get("reasoning_content") or ""))
            self._finished = self._finished or bool(choice.get("finish_reason"))
        return ReadEvent(event if chunk is given else event.anew(chunk), chunk)


def _settled(choice: dict[str, Any], ids: CallIds) -> dict[str, Any]:
    message = as_object(choice.get("message"))
    if not as_list(message.get("tool_calls")):
        return choice
    return {**choice, "message": {**message, "tool_calls": settled_calls(message["tool_calls"], ids)}}


def _check_tool(where: str, tool: object) -> None:
    given = as_object(tool)
    if given.get("type") == "function":
        function = as_object(given.get("function"))
        check_tool(f"{where}.function", function.get("name"), function.get("parameters"))
    elif not isinstance(given.get("type"), str):
        raise invalid(f"{where}: a tool has a type, such as function")


def _check_messages(messages: list[Any]) -> int:
    """Refuse messages that are none, or in an order that no provider takes; return the number of images."""
    if not messages:
        raise invalid("the body is no chat completion request: messages must be a list of roles and contents")
    images = 0
    waiting: set[str] = set()
    for number, message in enumerate(map(as_object, messages)):
        role = message.get("role")
        if not isinstance(role, str) or not role:
            raise invalid(f"messages.{number}: a message has a role and a content")
        if role == "tool":
            name = str(message.get("tool_call_id"))
            if name not in waiting:
                raise invalid(f"messages.{number}: a tool message answers a call of the assistant's turn before it")
            waiting.discard(name)
            continue
        if waiting:
            raise invalid(f"messages.{number}: tool calls without an answer: {', '.join(sorted(waiting))}")
        waiting = {str(as_object(call).get("id")) for call in as_list(message.get("tool_calls"))}
        content = message.get("content")
        if isinstance(content, list):
            images += sum(as_object(part).get("type") == "image_url" for part in as_list(content))  # pyright: ignore[reportUnknownArgumentType] - any JSON
    if waiting:
        raise invalid(f"messages: tool calls without an answer: {', '.join(sorted(waiting))}")
    return images
