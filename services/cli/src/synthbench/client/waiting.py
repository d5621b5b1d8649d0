"""Saying what is waited for, now and then, for as long as a wait takes."""

import time
from collections.abc import Callable

Say = Callable[[str], None]
"""Takes one line about what is going on, for a person."""

_QUIET_SECONDS = 2.0
_REPEAT_SECONDS = 10.0


def say_nothing(_text: str) -> None:
    """Drop the line: for programs, to which nobody listens."""


class Waiting:
    """Says what is waited for: after two seconds, when it changes, and every ten seconds.

    Call it again and again in the loop that waits, with what is missing.

    Args:
        say: takes each line.
    """

    def __init__(self, say: Say) -> None:
        self._say = say
        self._began = time.monotonic()
        self._last_text: str = ""
        self._last_said = self._began

    def __call__(self, missing: str) -> None:
        """Say what is missing if it is time."""
        now = time.monotonic()
        quiet = now - self._last_said
        if quiet < _QUIET_SECONDS or (missing == self._last_text and quiet < _REPEAT_SECONDS):
            return
        self._last_text, self._last_said = missing, now
        self._say(f"waiting for {missing} ({now - self._began:.0f} s)")
