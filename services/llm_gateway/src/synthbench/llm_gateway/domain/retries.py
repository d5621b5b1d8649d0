"""Retries: after a failed try the same model is tried again, or the next one, or none. Pure.

Full jitter: a pause is drawn evenly between nothing and the exponential bound (Brooker, "Exponential Backoff and
Jitter", AWS Architecture Blog 2015). A retry budget keeps retries from becoming the load (Google SRE Book, chapter 22).
"""

from dataclasses import dataclass
from typing import Literal

from synthbench.llm_gateway.domain.routing import RouteChoice
from synthbench.wire.failures import Failure

_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 20.0
_DEPOSIT, _FLOOR, _CEILING = 0.2, 10.0, 100.0


@dataclass(frozen=True)
class RetryDecision:
    """The next try, or none."""

    action: Literal["again", "fallback", "give_up"]
    pause: float = 0.0
    """Seconds before it."""
    place: int = 0
    """Of the model that is tried next."""
    reason: str = ""


@dataclass
class RetryBudget:
    """The retries that a model may cost: a fifth of its calls, and a few more."""

    tokens: float = _FLOOR

    def call(self) -> None:
        """A first try was made."""
        self.tokens = min(_CEILING, self.tokens + _DEPOSIT)

    def spend(self) -> bool:
        """Whether one more retry is within the budget; it is taken."""
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


def decide(
    failure: Failure,
    choice: RouteChoice,
    place: int,
    tries: int,
    *,
    max_tries: int,
    seconds_left: float,
    budget: RetryBudget,
    chance: float,
) -> RetryDecision:
    """Say what to do after a failure.

    Args:
        failure: what happened.
        choice: the route's models.
        place: of the model that failed.
        tries: how often that model was asked for this call.
        max_tries: at most so often.
        seconds_left: until the call's deadline.
        budget: of the model's retries.
        chance: a number in [0, 1).
    """
    next_one = choice.next_place(place, failure.fallback)
    if seconds_left <= 0:
        return RetryDecision("give_up", reason="the deadline is over")
    pause = chance * min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** (tries - 1))
    if failure.retry_after is not None:
        pause = max(pause, failure.retry_after)
    patient = failure.again and tries < max_tries and pause < min(seconds_left, _LONGEST_PAUSE + 1)
    # A provider that names its pause is left alone for that long: the next model answers sooner.
    if patient and not (next_one is not None and failure.retry_after) and budget.spend():
        return RetryDecision("again", pause, place)
    if next_one is not None:
        return RetryDecision("fallback", 0.0, next_one, failure.refusal.code)
    return RetryDecision("give_up", reason=failure.refusal.code)
