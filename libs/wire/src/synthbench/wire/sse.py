"""Server-sent events (WHATWG HTML, section 9.2), cut out of a byte stream. Pure.

Only what model APIs use: `event`, `data` and comments; a carriage return before a line feed is part of the line's end.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from synthbench.contracts.loose import as_object

_END = re.compile(rb"\r?\n\r?\n")
DONE = b"[DONE]"


@dataclass(frozen=True)
class SseEvent:
    """One server-sent event."""

    raw: bytes
    """With the empty line that ends it."""
    data: bytes

    def anew(self, data: Mapping[str, Any], name: str = "") -> "SseEvent":
        """Return the event with other data."""
        raw = event(data, name)
        return SseEvent(raw, raw[raw.index(b"data: ") + 6 : -2])

    def object(self) -> dict[str, object]:
        """Parse the data as a JSON object.

        Raises:
            ValueError: it is none.
        """
        try:
            found: object = orjson.loads(self.data)
        except orjson.JSONDecodeError:
            found = _parsed(self.data)  # half of a surrogate pair, which servers cut between two deltas
        if not isinstance(found, dict):
            raise ValueError("no JSON object")  # noqa: TRY004 - the same for the caller as broken JSON
        return as_object(found)  # pyright: ignore[reportUnknownArgumentType] - any JSON


def _parsed(data: bytes) -> object:
    try:
        return json.loads(data)
    except RecursionError as error:
        raise ValueError("nested too deep") from error


class EventTooLong(ValueError):
    """An event has no end within the limit."""


class Splitter:
    """Cuts events out of chunks, whatever their borders.

    Args:
        limit: an event of more bytes is refused.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._rest = bytearray()
        self._seen = 0

    def feed(self, chunk: bytes) -> list[SseEvent]:
        """Return the events that are whole now.

        Raises:
            TooLong: more than the limit without an end.
        """
        self._rest += chunk
        events: list[SseEvent] = []
        start = 0
        position = max(0, self._seen - 3)
        while found := _END.search(self._rest, position):
            raw = bytes(self._rest[start : found.end()])
            start = position = found.end()
            if data := _data(raw):
                events.append(SseEvent(raw, data))
        if start:
            del self._rest[:start]
        self._seen = len(self._rest)
        if self._seen > self._limit:
            raise EventTooLong(f"an event of more than {self._limit} bytes")
        return events

    @property
    def rest(self) -> bytes:
        """The bytes after the last whole event, without white space."""
        return bytes(self._rest).strip()


def _data(raw: bytes) -> bytes:
    if raw.startswith(b"data:") and raw.count(b"\n") == 2:
        return raw[5:].strip()
    lines = [line[5:].strip() for line in raw.splitlines() if line.startswith(b"data:")]
    return b"\n".join(lines)


def event(body: object, name: str = "") -> bytes:
    """Write one event."""
    head = f"event: {name}\n".encode() if name else b""
    return head + b"data: " + (body if isinstance(body, bytes) else dumped(body)) + b"\n\n"


def dumped(value: object) -> bytes:
    """Write JSON, whatever strings and numbers a model put into it: orjson refuses halves of surrogate pairs, and
    numbers beyond 64 bits."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return json.dumps(value, separators=(",", ":")).encode()
