"""Tool calls in an answer: which call a piece of a stream belongs to, and an id of its own for each. Pure.

OpenAI's reference gives each call of an answer an index, and says its id and name once. Servers that call themselves
compatible give every call the index 0, leave the index or the id out, say id and name with every piece, or give two
calls one id. Here each of these is read the same way, for the record, the translation and the caller alike.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from synthbench.contracts.loose import as_list, as_object

_ID_LENGTH = 9
"""Letters and digits of an id that is made here: Mistral takes exactly nine, and no provider takes fewer."""
_CALLS_MOST = 4096
"""Tool calls of one answer; no model makes so many."""
_MARKS = re.compile(r'["\\{}\[\]]')


class CallIds:
    """Gives every call of an answer an id that no other call of the conversation has.

    Args:
        taken: ids that the conversation already uses.
        seed: returns the text that new ids follow from. The same text gives the same ids, so that a replayed
            conversation meets the ids that were recorded. Called only when an id has to be made.
    """

    def __init__(self, taken: Iterable[str], seed: Callable[[], str]) -> None:
        self._taken = set(taken)
        self._seed = seed
        self._made = 0

    def assign(self, given: str) -> str:
        """Return the id of the next call: the one that the server gave, where it is free, else a new one."""
        found = given
        while not found or found in self._taken:
            found = sha256(f"{self._seed()}/{self._made}".encode()).hexdigest()[:_ID_LENGTH]
            self._made += 1
        self._taken.add(found)
        return found


def openai_call_ids(request: Mapping[str, Any]) -> set[str]:
    """Return the ids of all tool calls in the messages of a chat completion's request."""
    return _ids_in(request, "tool_calls")


def anthropic_call_ids(request: Mapping[str, Any]) -> set[str]:
    """Return the ids of all tool uses in the messages of Anthropic's request."""
    return _ids_in(request, "content")


def _ids_in(request: Mapping[str, Any], name: str) -> set[str]:
    found: set[str] = set()
    for message in map(as_object, as_list(request.get("messages"))):
        items = as_list(message.get(name))
        found |= {str(call["id"]) for call in map(as_object, items) if call.get("id")}
    return found


def arguments_text(arguments: object) -> str:
    """The arguments of a call as text; servers that send an object mean its JSON."""
    if arguments is None:
        return ""
    return arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)


class JsonEnd:
    """Notices the end of a JSON object that comes in pieces, reading each piece once."""

    def __init__(self) -> None:
        self.begun = False
        """Whether anything came."""
        self._pieces: list[str] = []
        self._depth = 0
        self._in_string = False
        self._escaped = False
        self._ended = False

    def feed(self, text: str) -> None:
        """Take a piece."""
        if text:
            self.begun = True
            self._pieces.append(text)

    @property
    def complete(self) -> bool:
        """Whether the object is whole."""
        for text in self._pieces:
            self._scan(text)
        self._pieces.clear()
        return self._ended

    def _scan(self, text: str) -> None:
        """Follow brackets and quotes. A backslash takes the meaning of the character after it, also across pieces."""
        after = 0 if self._escaped else -1
        self._escaped = False
        for mark in _MARKS.finditer(text):
            if mark.start() == after:
                continue
            match mark[0]:
                case "\\":
                    after = mark.end()
                case '"':
                    self._in_string = not self._in_string
                case "{" | "[" if not self._in_string:
                    self._depth += 1
                case "}" | "]" if not self._in_string:
                    self._depth -= 1
                    self._ended = self._ended or self._depth == 0
                case _:
                    pass
        self._escaped = after == len(text)


@dataclass
class _StreamedCall:
    """One call, as far as it has come."""

    position: int
    index: int | None
    given_id: str
    """As the server says it; empty until then."""
    name: str
    arguments: JsonEnd = field(default_factory=JsonEnd)

    @property
    def complete(self) -> bool:
        """Whether the arguments are a whole JSON object: what follows with a name or an id is another call."""
        return self.arguments.complete


class ToolCallPieces:
    """Tells the calls of one choice of a stream apart, and writes each piece so that every reader does the same.

    Args:
        ids: gives the calls their ids; None leaves them as the server says them.
    """

    def __init__(self, ids: CallIds | None = None) -> None:
        self._ids = ids
        self._calls: list[_StreamedCall] = []

    def rewritten(self, piece: Mapping[str, Any]) -> dict[str, Any]:
        """Return a piece with the position of its call as `index`; id and name only with the first piece of a call."""
        function = as_object(piece.get("function"))
        name, text = str(function.get("name") or ""), arguments_text(function.get("arguments"))
        index, given_id = index_of(piece.get("index")), str(piece.get("id") or "")
        call = self._call_of(index, given_id, name, text)
        if call is None:
            return self._begun(piece, index, given_id, name, text)
        call.given_id = call.given_id or given_id
        call.arguments.feed(text)
        rewritten_piece = {key: value for key, value in piece.items() if key not in ("id", "type")} | {
            "index": call.position
        }
        if "function" in piece:
            rewritten_piece["function"] = {**function, "arguments": text} if "arguments" in function else dict(function)
            if name == call.name:
                rewritten_piece["function"].pop("name", None)
            else:
                call.name += name
        return rewritten_piece

    def _begun(
        self, piece: Mapping[str, Any], index: int | None, given_id: str, name: str, text: str
    ) -> dict[str, Any]:
        if len(self._calls) >= _CALLS_MOST:
            raise ValueError(f"more than {_CALLS_MOST} tool calls in one answer")
        call = _StreamedCall(len(self._calls), index, given_id, name)
        call.arguments.feed(text)
        self._calls.append(call)
        rewritten_piece = {**piece, "index": call.position, "type": piece.get("type") or "function"}
        rewritten_piece["function"] = {**as_object(piece.get("function")), "name": name, "arguments": text}
        if self._ids is not None:
            rewritten_piece["id"] = self._ids.assign(given_id)
        return rewritten_piece

    def _call_of(self, index: int | None, given_id: str, name: str, text: str) -> _StreamedCall | None:
        """Return the call that a piece goes on with; None where it begins another one."""
        if given_id:
            for call in reversed(self._calls):
                if call.given_id == given_id and index in (None, call.index):
                    return None if text.strip() and call.complete else call
        bare = not name and not (given_id and text)
        at = next((c for c in reversed(self._calls) if index in (None, c.index) or (bare and c.index is None)), None)
        if at is None or (given_id and at.given_id):
            return None
        if bare:
            return at
        if at.complete or (name and name != at.name and (text or at.arguments.begun)):
            return None
        return at


def index_of(value: object) -> int | None:
    """The index of a call or a choice; None where the server gives none that can be one."""
    if isinstance(value, str) and value.isdecimal():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def settled_calls(calls: object, ids: CallIds) -> list[dict[str, Any]]:
    """The calls of a whole answer: each with an id of its own, a type, and its arguments as text."""
    settled: list[dict[str, Any]] = []
    for call in map(as_object, as_list(calls)):
        function = as_object(call.get("function"))
        whole = {**call, "id": ids.assign(str(call.get("id") or "")), "type": call.get("type") or "function"}
        if whole["type"] == "function":
            text = arguments_text(function.get("arguments"))
            whole["function"] = {**function, "name": str(function.get("name") or ""), "arguments": text}
        settled.append(whole)
    return settled
