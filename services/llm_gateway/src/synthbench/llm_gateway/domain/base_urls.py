"""Several base URLs that serve the same models: each attempt keeps to one of them. Pure.

Rendezvous hashing (Thaler and Ravishankar, 1998): each attempt has its own order of the places, so that a place that
goes moves its attempts alone, and every replica finds the same order.
"""

from collections.abc import Sequence

from synthbench.llm_gateway.domain.routing import share

_AWAY_SECONDS = 30.0


class BaseUrls:
    """Base URLs, and which of them were not there lately.

    Args:
        bases: at least one.
    """

    def __init__(self, bases: Sequence[str]) -> None:
        self.bases = tuple(bases)
        self._until: dict[str, float] = {}

    def order(self, attempt: str, now: float) -> list[str]:
        """The places to ask, its own first; those that were away lately last.

        Args:
            attempt: its name.
            now: seconds of a monotonic clock.
        """
        if len(self.bases) == 1:
            return list(self.bases)
        return sorted(self.bases, key=lambda base: (now < self._until.get(base, 0.0), share(f"{attempt} {base}")))

    def away(self, base: str, now: float) -> None:
        """Nobody was there: leave it alone for a while."""
        self._until[base] = now + _AWAY_SECONDS
