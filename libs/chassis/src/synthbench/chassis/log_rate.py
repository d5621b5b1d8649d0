"""The same log line again and again is written so many times, and then counted: others can make us write it."""

import logging
import time
from collections.abc import MutableMapping
from dataclasses import dataclass, field
from typing import Any, cast

_KEY_CHARACTERS = 60
"""Of a message are compared: what varies (an address, an id) mostly comes after."""
_MOST_KEYS = 2000


@dataclass
class _Window:
    """One kind of line, in the current stretch of time."""

    since: float
    written: int = 0
    left_out: int = 0


@dataclass
class RateLimit(logging.Filter):
    """Lets the first lines of each kind through, in each stretch of time; the next one says how many were left out.

    Attributes:
        lines: of one kind in a stretch.
        seconds: its length.
    """

    lines: int = 200
    seconds: float = 10.0
    _windows: dict[tuple[str, int, str], _Window] = field(default_factory=dict[tuple[str, int, str], _Window])

    def __post_init__(self) -> None:
        super().__init__()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is written."""
        key = (record.name, record.levelno, _text(record)[:_KEY_CHARACTERS])
        now = time.monotonic()
        if len(self._windows) > _MOST_KEYS:
            self._windows.clear()
        window = self._windows.setdefault(key, _Window(now))
        left_out = 0
        if now - window.since >= self.seconds:
            left_out, window = window.left_out, _Window(now)
            self._windows[key] = window
        if window.written >= self.lines:
            window.left_out += 1
            return False
        window.written += 1
        if left_out:
            _add(record, left_out)
        return True


def _text(record: logging.LogRecord) -> str:
    if isinstance(record.msg, dict):
        return str(cast("dict[str, Any]", record.msg).get("event"))  # pyright: ignore[reportUnknownMemberType] - logging declares a text, structlog puts an object there
    return str(record.msg)


def _add(record: logging.LogRecord, left_out: int) -> None:
    if isinstance(record.msg, dict):
        cast("MutableMapping[str, Any]", record.msg)["left_out_before"] = left_out  # pyright: ignore[reportUnknownMemberType] - logging declares a text, structlog puts an object there
    else:
        record.msg = f"{record.msg} (left out before: {left_out})"
