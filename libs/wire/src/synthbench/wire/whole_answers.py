"""Whole answers out of recorded or received bytes, in any wire format. Pure."""

from typing import Any

from synthbench.contracts.loose import parse_object
from synthbench.wire.sse import DONE, Splitter
from synthbench.wire.wires import WIRES


def whole_of(wire: str, body: bytes) -> dict[str, Any]:
    """Put a recorded stream together.

    Args:
        wire: name of its format.
        body: its events, up to the end mark.

    Raises:
        ValueError: they are none of this wire.
    """
    assembler = WIRES[wire].assembler()
    for event in Splitter(len(body) + 1).feed(body):
        if event.data != DONE:
            assembler.feed(event.object())
    return assembler.answer()


def whole_answer(wire: str, raw: bytes, *, stream: bool) -> dict[str, Any]:
    """Return an answer as an object, put together where it came in pieces; empty where it is none.

    Args:
        wire: name of its format.
        raw: the body as it came.
        stream: a stream was asked for; servers that know none answer with an object all the same.
    """
    if not stream or raw.lstrip().startswith(b"{"):
        return parse_object(raw)
    try:
        return whole_of(wire, raw)
    except (ValueError, RecursionError):
        return {}
