"""A token bucket, the usual way to limit a rate while short bursts pass."""

import time


class TokenBucket:
    """Tokens that come back at a steady pace.

    Args:
        a_second: how many tokens come back each second.
        burst: how many there are at most, and at the beginning.
    """

    def __init__(self, a_second: float, burst: float) -> None:
        self._a_second = a_second
        self._burst = burst
        self._left = burst
        self._at = time.monotonic()

    def take(self) -> float:
        """Take one token; return 0 if there was one, else how many seconds it takes until there is."""
        self._refill()
        if self._left >= 1:
            self._left -= 1
            return 0.0
        return (1 - self._left) / self._a_second

    def spend(self, count: float) -> float:
        """Take tokens whether they are there or not; return how many seconds it takes until they are paid for."""
        self._refill()
        self._left -= count
        return max(0.0, -self._left / self._a_second)

    def _refill(self) -> None:
        now = time.monotonic()
        self._left = min(self._burst, self._left + (now - self._at) * self._a_second)
        self._at = now
