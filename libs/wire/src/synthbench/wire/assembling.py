"""A whole answer out of the events of its stream: the other way round than `WireFormat.stream_of`. Pure.

One assembler serves the record, the recordings and the gateway's own look at an answer. It also writes an event anew
where a server says something that readers would take differently: see `tool_calls`.

Sources: OpenAI's API reference, "The chat completion chunk object"; Anthropic's API reference, "Streaming Messages".
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from synthbench.contracts.loose import as_list, as_object
from synthbench.contracts.records import Usage
from synthbench.wire.growing import grow, grow_beside, settled
from synthbench.wire.sse import DONE, Splitter
from synthbench.wire.tool_calls import CallIds, ToolCallPieces, index_of
from synthbench.wire.usage import grow_anthropic_usage, usage_of


class _Translator(Protocol):
    def feed(self, data: Mapping[str, Any]) -> bytes: ...

    def end(self) -> bytes: ...


class Assembler(Protocol):
    """Follows the events of one stream."""

    def feed(self, data: dict[str, Any]) -> dict[str, Any]:
        """Take one event; return it as every reader shall get it: the same object, or one written anew.

        Raises:
            ValueError: it cannot be one of this stream.
        """
        ...

    def answer(self) -> dict[str, Any]:
        """The whole answer, as far as it has come."""
        ...


class CompletionAssembler:
    """Puts the chunks of a chat completion together."""

    def __init__(self, ids: CallIds | None = None) -> None:
        self._ids = ids
        self._beside: dict[str, Any] = {}
        self._choices: dict[int, dict[str, Any]] = {}
        self._messages: dict[int, dict[str, Any]] = {}
        self._pieces: dict[int, ToolCallPieces] = {}
        self._calls: dict[int, list[dict[str, Any]]] = {}

    def feed(self, data: dict[str, Any]) -> dict[str, Any]:
        """Take one event; return it as every reader shall get it: the same object, or one written anew.

        Raises:
            ValueError: it cannot be one of this stream.
        """
        grow_beside(self._beside, {name: value for name, value in data.items() if name not in ("choices", "object")})
        choices = [self._choice(choice) for choice in map(as_object, as_list(data.get("choices")))]
        if all(new is given for new, given in zip(choices, as_list(data.get("choices")), strict=True)):
            return data
        return {**data, "choices": choices}

    def _choice(self, choice: dict[str, Any]) -> dict[str, Any]:
        index = index_of(choice.get("index")) or 0
        message = self._messages.setdefault(index, {})
        known = self._choices.setdefault(index, {})
        # Some servers end a stream with the whole message in place of a piece.
        field = "message" if "delta" not in choice and "message" in choice else "delta"
        delta = as_object(choice.get(field))
        rewritten = self._rewritten(index, delta)
        grow(message, {name: value for name, value in delta.items() if name not in ("tool_calls", "role")})
        grow(known, {name: value for name, value in choice.items() if name not in ("index", field)})
        return choice if rewritten is delta else {**choice, field: rewritten}

    def _rewritten(self, index: int, delta: dict[str, Any]) -> dict[str, Any]:
        given = as_list(delta.get("tool_calls"))
        if not given:
            return delta
        pieces = self._pieces.setdefault(index, ToolCallPieces(self._ids))
        calls = self._calls.setdefault(index, [])
        rewritten = [pieces.rewritten(as_object(piece)) for piece in given]
        for piece in rewritten:
            if piece["index"] == len(calls):
                calls.append({})
            grow(calls[int(piece["index"])], {name: value for name, value in piece.items() if name != "index"})
        return delta if rewritten == given else {**delta, "tool_calls": rewritten}

    @property
    def usage(self) -> Usage | None:
        """Usage as it was counted so far; None where it was not."""
        return usage_of("openai", self._beside)

    def answer(self) -> dict[str, Any]:
        """The whole answer, as far as it has come."""
        choices: list[dict[str, Any]] = []
        for index in sorted(self._choices):
            message = {"role": "assistant", "content": None, **self._messages[index]}
            if index in self._calls:
                message["tool_calls"] = self._calls[index]
            ends = {"finish_reason": None, "logprobs": None, **self._choices[index]}
            choices.append({"index": index, "message": message, **ends})
        whole: dict[str, Any] = settled({**self._beside, "object": "chat.completion", "choices": choices})
        return whole


class MessageAssembler:
    """Puts the events of a message together."""

    def __init__(self, ids: CallIds | None = None) -> None:
        self._ids = ids
        self._message: dict[str, Any] = {}
        self._blocks: list[dict[str, Any]] = []
        self._inputs: dict[int, list[str]] = {}
        self._at: dict[object, int] = {}
        """Position of the newest block that a server's index means."""

    def feed(self, data: dict[str, Any]) -> dict[str, Any]:
        """Take one event; return it as every reader shall get it: the same object, or one written anew.

        Raises:
            ValueError: it cannot be one of this stream.
        """
        match data.get("type"):
            case "message_start":
                grow(self._message, {name: v for name, v in as_object(data.get("message")).items() if name != "usage"})
                self._use(as_object(data.get("message")).get("usage"))
            case "content_block_start":
                return self._begin(data)
            case "content_block_delta":
                return self._piece(data)
            case "content_block_stop":
                return self._placed(data)
            case "message_delta":
                grow(self._message, as_object(data.get("delta")))
                beside = {name: value for name, value in data.items() if name not in ("type", "delta", "usage")}
                grow(self._message, beside)
                self._use(data.get("usage"))
            case _:
                pass
        return data

    def _use(self, usage: object) -> None:
        if usage:
            self._message["usage"] = grow_anthropic_usage(as_object(self._message.get("usage")), as_object(usage))

    def _begin(self, data: dict[str, Any]) -> dict[str, Any]:
        position = len(self._blocks)
        self._at[_key(data.get("index"))] = position
        block = dict(as_object(data.get("content_block")))
        if block.get("type") == "tool_use" and self._ids is not None:
            block["id"] = self._ids.assign(str(block.get("id") or ""))
        grown: dict[str, Any] = {}
        grow(grown, block)
        self._blocks.append(grown)
        rewritten = {**data, "index": position, "content_block": block}
        return data if rewritten == data else rewritten

    def _placed(self, data: dict[str, Any]) -> dict[str, Any]:
        position = self._at.get(_key(data.get("index")))
        if position is None:
            raise ValueError("a piece of a block that never began")
        return data if data.get("index") == position else {**data, "index": position}

    def _piece(self, data: dict[str, Any]) -> dict[str, Any]:
        rewritten = self._placed(data)
        position, delta = int(rewritten["index"]), as_object(data.get("delta"))
        match delta.get("type"):
            case "input_json_delta":
                self._inputs.setdefault(position, []).append(str(delta.get("partial_json", "")))
            case "citations_delta":
                grow(self._blocks[position], {"citations": [delta.get("citation")]})
            case _:
                grow(self._blocks[position], {name: value for name, value in delta.items() if name != "type"})
        return rewritten

    @property
    def usage(self) -> Usage | None:
        """Usage as it was counted so far; None where it was not."""
        return usage_of("anthropic", self._message)

    def answer(self) -> dict[str, Any]:
        """The whole answer, as far as it has come. The input of a call that broke off is the text that came of it."""
        blocks = [settled(block) for block in self._blocks]
        for position, pieces in self._inputs.items():
            blocks[position]["input"] = _input("".join(pieces))
        ends = {"stop_reason": None, "stop_sequence": None} if self._message else {}
        return {**ends, **settled(self._message), "content": blocks}


class TranslatingAssembler:
    """Puts the stream of a format together that is translated to chunks of a chat completion.

    Args:
        translator: of this stream.
        answer_from_openai: translates the whole answer back.
        ids: gives tool calls their ids; None leaves them as the server says them.
    """

    def __init__(
        self,
        translator: _Translator,
        answer_from_openai: Callable[[Mapping[str, Any]], tuple[dict[str, Any], list[str]]],
        ids: CallIds | None = None,
    ) -> None:
        self._translator = translator
        self._answer_from_openai = answer_from_openai
        self._assembler = CompletionAssembler(ids)

    def feed(self, data: dict[str, Any]) -> dict[str, Any]:
        """Take one event; return it as it is.

        Raises:
            ValueError: it cannot be one of this stream.
        """
        self._take(self._translator.feed(data))
        return data

    def answer(self) -> dict[str, Any]:
        """The whole answer, as far as it has come; call it once, after the last event."""
        self._take(self._translator.end())
        return self._answer_from_openai(self._assembler.answer())[0]

    def _take(self, chunks: bytes) -> None:
        for chunk in Splitter(len(chunks) + 1).feed(chunks):
            if chunk.data != DONE:
                self._assembler.feed(chunk.object())


def _key(index: object) -> object:
    return index if isinstance(index, int | str) else None


def _input(text: str) -> Any:
    try:
        return json.loads(text or "{}")
    except (ValueError, RecursionError):
        return text
