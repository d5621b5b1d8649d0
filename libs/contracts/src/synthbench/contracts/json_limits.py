"""Limits of other people's JSON, which is counted piece by piece as it arrives, before anything is built of it. Pure.

A parser turns 60 MB of `0,0,0,…` into gigabytes of objects, and holds the interpreter while it does. Counting costs
about 20 ns a byte, in pieces that others may run between.
"""

import re
from dataclasses import dataclass

_ESCAPE = re.compile(rb"\\.", re.DOTALL)
_OPENING, _BRACKETS, _STRUCTURE = b"[{", b"[]{}", b",:[]{}"
_NOT_BRACKETS = bytes(set(range(256)) - set(_BRACKETS))
_NOT_STRUCTURE = bytes(set(range(256)) - set(_STRUCTURE))


@dataclass(frozen=True)
class JsonLimits:
    """Limits of one JSON text."""

    marks: int = 400_000
    """Commas, colons and brackets outside of strings; a text has no more values than these and one."""
    depth: int = 128
    """Lists and objects within one another."""


class TooMuchJson(ValueError):
    """The text holds more than it may; the message says what."""


class JsonMeter:
    """Counts one JSON text that comes in pieces, valid or not.

    Args:
        limits: what it may hold.

    Attributes:
        marks: that came so far.
    """

    def __init__(self, limits: JsonLimits) -> None:
        self._limits = limits
        self.marks = 0
        self._depth = 0
        self._in_string = False
        self._escape = False

    def feed(self, piece: bytes | bytearray | memoryview) -> None:
        """Count a piece, of any border.

        Raises:
            TooMuchJson: with it there is too much.
        """
        structure = self._outside(bytes(piece)).translate(None, _NOT_STRUCTURE)
        self.marks += len(structure)
        if self.marks > self._limits.marks:
            raise TooMuchJson(f"more than {self._limits.marks} commas, colons and brackets")
        for bracket in structure.translate(None, _NOT_BRACKETS):
            self._depth += 1 if bracket in _OPENING else -1
            if self._depth > self._limits.depth:
                raise TooMuchJson(f"nested deeper than {self._limits.depth}")

    def _outside(self, piece: bytes) -> bytes:
        """Return the part of a piece that lies outside of strings; a backslash and what follows it count as nothing."""
        if self._escape:
            piece, self._escape = piece[1:], not piece
        if b"\\" in piece:
            piece = _ESCAPE.sub(b"", piece)
            if piece.endswith(b"\\"):
                piece, self._escape = piece[:-1], True
        parts = piece.split(b'"')
        outside = b"".join(parts[int(self._in_string) :: 2])
        self._in_string ^= len(parts) % 2 == 0
        return outside


def check_json(data: bytes, limits: JsonLimits) -> None:
    """Count a whole JSON text.

    Raises:
        TooMuchJson: there is too much in it.
    """
    JsonMeter(limits).feed(data)
