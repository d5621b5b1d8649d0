"""Objects grow out of the pieces of a stream: nothing that came in parts is overwritten. Pure."""

from collections.abc import Mapping
from typing import Any, cast

_STATES = frozenset({
    "id", "type", "role", "index", "object", "model", "created", "status", "format", "finish_reason", "stop_reason",
    "native_finish_reason", "service_tier", "system_fingerprint", "provider",
})  # fmt: skip
"""Texts that a piece says as a whole, again and again: the newest counts."""
_TEXTS = frozenset({
    "content", "reasoning", "reasoning_content", "refusal", "arguments", "text", "thinking", "transcript", "data",
    "summary", "partial_json",
})  # fmt: skip
"""Texts whose pieces may be alike and count each time; of any other text an equal piece is a repetition."""
_REPEATED_LISTS = frozenset({"citations", "search_results", "images", "related_questions"})
"""Lists beside the choices that servers repeat from the beginning in each chunk."""


class Text:
    """A text in pieces, joined once."""

    def __init__(self, piece: str) -> None:
        self._pieces = [piece]
        self._length = len(piece)

    def add(self, piece: str) -> None:
        """Take a piece."""
        self._pieces.append(piece)
        self._length += len(piece)

    def is_all(self, text: str) -> bool:
        """Whether this is what came so far."""
        return len(text) == self._length and str(self) == text

    def __str__(self) -> str:
        return "".join(self._pieces)


def grow(whole: dict[str, Any], piece: Mapping[str, Any]) -> None:
    """Add a piece: texts and lists grow, objects grow field by field, numbers and states are the newest."""
    for name, value in piece.items():
        whole[name] = _grown(name, whole.get(name), value)


def grow_beside(whole: dict[str, Any], chunk: Mapping[str, Any]) -> None:
    """Add what a chunk says beside its choices: a text there is a state, such as the name of the model."""
    for name, value in chunk.items():
        known = whole.get(name)
        if isinstance(value, str):
            whole[name] = value
        elif name in _REPEATED_LISTS and isinstance(known, list) and isinstance(value, list):
            before, now = cast("list[Any]", known), cast("list[Any]", value)
            whole[name] = list(now) if now[: len(before)] == before else [*before, *now]
        elif name != "created" or known is None:
            whole[name] = _grown(name, known, value)


def _grown(name: str, known: Any, value: Any) -> Any:
    if isinstance(value, str):
        return _grown_text(name, known, value)
    if isinstance(value, list):
        return _grown_list(name, known, cast("list[Any]", value))
    if isinstance(value, dict):
        grown: dict[str, Any] = cast("dict[str, Any]", known) if isinstance(known, dict) else {}
        grow(grown, cast("dict[str, Any]", value))
        return grown
    return known if value is None else value


def _grown_text(name: str, known: Any, value: str) -> Text:
    if not isinstance(known, Text) or name in _STATES:
        return Text(value)
    if name in _TEXTS or not known.is_all(value):
        known.add(value)
    return known


def _grown_list(name: str, known: Any, value: list[Any]) -> list[Any]:
    if name == "reasoning_details":
        return _details(known, value)
    whole = cast("list[Any]", known) if isinstance(known, list) else []
    whole.extend(value)
    return whole


def _details(known: Any, pieces: list[Any]) -> list[Any]:
    """OpenRouter's reasoning: a piece goes on with the last one where index, type and id are the same."""
    whole: list[Any] = cast("list[Any]", known) if isinstance(known, list) else []
    for piece in pieces:
        last = cast("dict[str, Any]", whole[-1]) if whole and isinstance(whole[-1], dict) else None
        if isinstance(piece, dict) and last is not None and _goes_on(last, cast("dict[str, Any]", piece)):
            grow(last, cast("dict[str, Any]", piece))
        elif isinstance(piece, dict):
            begun: dict[str, Any] = {}
            grow(begun, cast("dict[str, Any]", piece))
            whole.append(begun)
        else:
            whole.append(piece)
    return whole


def _goes_on(last: Mapping[str, Any], piece: Mapping[str, Any]) -> bool:
    if not isinstance(piece.get("index"), int) or last.get("index") != piece["index"]:
        return False
    if last.get("type") is not None and str(last["type"]) != piece.get("type"):
        return False
    return piece.get("id") is None or last.get("id") is None or str(last["id"]) == piece["id"]


def settled(value: Any) -> Any:
    """The whole value, its texts joined."""
    if isinstance(value, Text):
        return str(value)
    if isinstance(value, dict):
        return {name: settled(item) for name, item in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return [settled(item) for item in cast("list[Any]", value)]
    return value
