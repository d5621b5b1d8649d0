"""A circuit breaker: a model that keeps failing is left alone, then probed by one call at a time. Pure.

Nygard, "Release It!", chapter 5. Times are seconds of a monotonic clock.
"""

from dataclasses import dataclass
from enum import StrEnum

_FAILURES = 5
_FIRST_REST, _LONGEST_REST = 2.0, 60.0


class BreakerState(StrEnum):
    """The states of a circuit breaker: it lets all calls through, none, or one as a probe."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass
class Breaker:
    """The circuit breaker of one model, in one replica."""

    failures: int = 0
    """Number of failed calls in a row."""
    rests: int = 0
    opened_at: float = 0.0
    probing_since: float | None = None

    @property
    def rest(self) -> float:
        """Seconds that it stays open; doubles with every failed probe."""
        return min(_LONGEST_REST, _FIRST_REST * 2 ** max(0, self.rests - 1))

    def state(self, now: float) -> BreakerState:
        """Return its state at a time."""
        if not self.rests:
            return BreakerState.CLOSED
        return BreakerState.OPEN if now < self.opened_at + self.rest else BreakerState.HALF_OPEN

    def enter(self, now: float) -> float:
        """Let a call through (0), or say after how many seconds to come again."""
        match self.state(now):
            case BreakerState.CLOSED:
                return 0.0
            case BreakerState.OPEN:
                return self.opened_at + self.rest - now
            case BreakerState.HALF_OPEN:
                if self.probing_since is not None and now < self.probing_since + _LONGEST_REST:
                    return 1.0
                self.probing_since = now
                return 0.0

    def succeeded(self) -> None:
        """A call was answered."""
        self.failures = self.rests = 0
        self.probing_since = None

    def failed(self, now: float) -> None:
        """A call failed by the provider's doing."""
        self.failures += 1
        if self.rests or self.failures >= _FAILURES:
            self.rests += 1
            self.opened_at = now
            self.probing_since = None

    def passed(self) -> None:
        """A call ended that says nothing about the provider: a probe may be made anew."""
        self.probing_since = None
