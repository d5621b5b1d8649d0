"""The agent's clock and what it may use up. Our own waits are not on it."""

from collections.abc import Callable
from dataclasses import dataclass, field

from synthbench.contracts.records import Outcome, RolloutLimits, Timing, Usage
from synthbench.executor.domain.endings import Draining, LimitReached


@dataclass
class Clock:
    """The resources that an attempt has used; its limits hold over the steps that it took over, too."""

    limits: RolloutLimits
    steps: int = 0
    """Steps so far, with those that were taken over."""
    usage: Usage = field(default_factory=Usage)
    """The sum over its own steps."""
    timing: Timing = field(default_factory=Timing)
    """The sum over its own steps."""
    carried_usage: Usage = field(default_factory=Usage)
    """The usage of steps that were taken over, paid for where they were made."""
    carried_seconds: float = 0.0
    """Seconds on the agent's clock when the steps were taken over."""
    draining: Callable[[], bool] = lambda: False
    """Returns whether this process is told to end."""

    @property
    def spent(self) -> float:
        """Seconds on the agent's clock."""
        return self.carried_seconds + self.timing.model_seconds + self.timing.tool_seconds

    @property
    def remaining(self) -> float:
        """Seconds left on it, at least a little."""
        return max(0.1, self.limits.max_seconds - self.spent)

    def add(self, usage: Usage, timing: Timing) -> None:
        """Count one step."""
        self.steps += 1
        self.usage += usage
        self.timing = Timing(
            model_seconds=self.timing.model_seconds + timing.model_seconds,
            tool_seconds=self.timing.tool_seconds + timing.tool_seconds,
            waited_seconds=self.timing.waited_seconds + timing.waited_seconds,
        )

    def carry(self, usage: Usage, timing: Timing) -> None:
        """Count one step that was taken over."""
        self.steps += 1
        self.carried_usage += usage
        self.carried_seconds += timing.model_seconds + timing.tool_seconds

    def check(self) -> None:
        """Before each step.

        Raises:
            LimitReached: something is used up.
            Draining: the process shall end; the last step is safe.
        """
        if self.draining():
            raise Draining("the executor was shut down")
        limits, usage = self.limits, self.carried_usage + self.usage
        tokens = usage.input_tokens + usage.output_tokens
        if self.steps >= limits.max_steps:
            raise LimitReached(Outcome.STEP_LIMIT, f"{limits.max_steps} steps are used up")
        if tokens >= limits.max_tokens:
            raise LimitReached(Outcome.TOKEN_LIMIT, f"{tokens} of {limits.max_tokens} tokens are used up")
        if self.spent >= limits.max_seconds:
            raise LimitReached(Outcome.TIME_LIMIT, f"{limits.max_seconds:g} s are used up")
