"""Where the time comes from."""

import time


class SystemClock:
    """Seconds that never run backwards."""

    def now(self):
        """Seconds since some moment."""
        return time.monotonic()


class ManualClock:
    """A clock for tests."""

    def __init__(self, start=0.0):
        self._now = start

    def now(self):
        """Seconds since some moment."""
        return self._now

    def advance(self, seconds):
        """Let time pass."""
        if seconds < 0:
            raise ValueError("time does not run backwards")
        self._now += seconds
