"""The ways in which an agent's run can end, as exceptions, so that the loop of a scaffold stays a loop."""

from typing import Literal

from synthbench.contracts.records import Outcome


class Ending(Exception):
    """The agent's run is over."""

    outcome: Outcome

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail)
        self.detail = detail


class Submitted(Ending):
    """The agent says that it is done; the tests say whether it is."""

    outcome = Outcome.UNSOLVED


class GaveUp(Ending):
    """The agent stopped without submitting."""

    outcome = Outcome.GAVE_UP


class AgentFailed(Ending):
    """The agent cannot be understood any more, or goes round in a circle."""

    outcome = Outcome.AGENT_ERROR


class LimitReached(Ending):
    """The agent used up what it was given."""

    def __init__(self, outcome: Outcome, detail: str = "") -> None:
        super().__init__(detail)
        self.outcome = outcome


class ContextFull(LimitReached):
    """The model's context is too small for the conversation."""

    def __init__(self, detail: str = "") -> None:
        super().__init__(Outcome.TOKEN_LIMIT, detail)


class InfraFailure(Exception):
    """We failed, not the agent: never graded, tried again."""


class PermanentFailure(InfraFailure):
    """A failure that stays: trying again cannot help.

    Args:
        detail: one line, with what mends it.
        scope: what it holds for: this rollout, or every rollout of its submission.
    """

    def __init__(self, detail: str, scope: Literal["rollout", "submission"]) -> None:
        super().__init__(detail)
        self.scope: Literal["rollout", "submission"] = scope


class OutOfMoney(InfraFailure):
    """A budget that this attempt shares with others is used up: nobody's failure. It goes on when there is money."""


class Draining(Exception):
    """This process shall end: the attempt is given back between two steps."""


class Stopped(Exception):
    """The scheduler ordered it: a cancel, or the lease is lost."""

    def __init__(self, reason: str, *, cancelled: bool) -> None:
        super().__init__(reason)
        self.cancelled = cancelled


def final_outcome(ending: Ending, reward: float | None) -> Outcome:
    """Return the outcome that is reported: solved and unsolved only for what was submitted."""
    if isinstance(ending, Submitted):
        return Outcome.SOLVED if reward == 1.0 else Outcome.UNSOLVED
    return ending.outcome
