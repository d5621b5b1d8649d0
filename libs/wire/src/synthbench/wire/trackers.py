"""Trackers of streams: they follow a provider's events until the stream is whole, and say what it used. Pure."""

from collections.abc import Callable, Mapping
from typing import Any

from synthbench.contracts.loose import as_list, as_object
from synthbench.contracts.records import Usage
from synthbench.wire.assembling import CompletionAssembler, MessageAssembler
from synthbench.wire.protocols import ProviderError, ReadEvent, StreamTranslator, Translated
from synthbench.wire.sse import DONE, Splitter, SseEvent
from synthbench.wire.tool_calls import CallIds


class CompletionTracker:
    """Follows the chunks of a chat completion.

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
        """The whole answer, as far as it has come."""
        return self._assembler.answer()

    def see(self, event: SseEvent) -> ReadEvent:
        """Follow one event.

        Raises:
            ValueError: it is none of this format.
            ProviderError: the provider says that it failed.
        """
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


class MessageTracker:
    """Follows the events of a message.

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
        """Usage of `message_start` and `message_delta` together; None before the latter."""
        return self._assembler.usage if self._counted else None

    @property
    def answer(self) -> Mapping[str, Any]:
        """The whole answer, as far as it has come."""
        return self._assembler.answer()

    def see(self, event: SseEvent) -> ReadEvent:
        """Follow one event.

        Raises:
            ValueError: it is none of this format.
            ProviderError: the provider says that it failed.
        """
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


class TranslatingTracker:
    """Follows the stream of a format that is translated to chunks of a chat completion.

    Args:
        translator: of this stream.
        answer_from_openai: translates the whole answer back.
        is_end: whether an event is the end mark of the format.
        ids: gives tool calls their ids, in the answer alone: the events pass as they came.
    """

    def __init__(
        self,
        translator: StreamTranslator,
        answer_from_openai: Callable[[Mapping[str, Any]], Translated],
        is_end: Callable[[SseEvent, Mapping[str, Any]], bool],
        ids: CallIds,
    ) -> None:
        self._translator = translator
        self._answer_from_openai = answer_from_openai
        self._is_end = is_end
        self._tracker = CompletionTracker(ids)

    @property
    def complete(self) -> bool:
        """Whether the end mark came, after a reason to stop."""
        return self._tracker.complete

    @property
    def model(self) -> str:
        """The model that answers, as it says itself."""
        return self._tracker.model

    @property
    def usage(self) -> Usage | None:
        """Usage as the provider counted it; None until then."""
        return self._tracker.usage

    @property
    def characters(self) -> int:
        """Length of the answer so far."""
        return self._tracker.characters

    @property
    def answer(self) -> Mapping[str, Any]:
        """The whole answer in the stream's own format, as far as it has come."""
        return self._answer_from_openai(self._tracker.answer)[0]

    def see(self, event: SseEvent) -> ReadEvent:
        """Follow one event.

        Raises:
            ValueError: it is none of this format.
            ProviderError: the provider says that it failed.
        """
        data = {} if event.data == DONE else event.object()
        if data.get("error"):
            raise ProviderError(data)
        ended = self._is_end(event, data)
        chunks = self._translator.end() if ended else self._translator.feed(data)
        for chunk in Splitter(len(chunks) + 1).feed(chunks):
            self._tracker.see(chunk)
        return ReadEvent(event, data)
