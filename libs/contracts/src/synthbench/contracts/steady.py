"""Masks what changes in a text each time the same command runs: clocks, durations, addresses, random names. Pure.

Two runs of one command say the same but for these; whoever compares runs puts words in their place.
"""

import re

_SHAPES = {
    "uuid": r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b",
    "time": r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?: ?(?:Z|[+-]\d\d:?\d\d))?"
    r"|\b[A-Z][a-z]{2} [ \d]\d (?:\d\d:\d\d(?::\d\d)?| \d{4})\b"
    r"|\b\d\d:\d\d:\d\d(?:[.,]\d+)?\b",
    "duration": r"\b(?:\d+m ?)?\d+(?:\.\d+)? ?(?:s|ms|us|µs|ns|secs?|seconds?|milliseconds?)\b",
    "address": r"\b0x[0-9a-f]{6,}\b",
    "temporary": r"\btmp[a-z0-9_]{8}\b",
}
_ALL = re.compile("|".join(f"(?P<{name}>{shape})" for name, shape in _SHAPES.items()))


def steady(text: str) -> str:
    """Return the text with `<uuid>`, `<time>`, `<duration>`, `<address>` and `<temporary>` in place of such values.

    Times are ISO 8601 with a clock, `ls -l`'s, and clocks with seconds; durations are numbers with a unit of seconds
    (`0.012s`, `0m1.2s`, `15 ms`); addresses are `0x` and six hex digits or more; temporary names are those of Python's
    `tempfile`. A date alone stays, as most of them mean something.
    """
    return _ALL.sub(lambda found: f"<{found.lastgroup}>", text)
