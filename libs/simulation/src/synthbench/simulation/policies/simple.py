"""`sim/looper`, `sim/quitter` and `sim/cheater`: each does what its name says."""

from collections.abc import Callable

from synthbench.simulation.attempt import PolicyTurn, SimulatedAttempt, in_order
from synthbench.tasks.cheats import CHEATS


def looper(attempt: SimulatedAttempt) -> Callable[[int], PolicyTurn]:
    """Run the same command again and again, until that ends it."""
    return in_order([attempt.bash("Let me look at the files.", "ls -la")])


def quitter(attempt: SimulatedAttempt) -> Callable[[int], PolicyTurn]:
    """Look once, and stop without calling a tool or submitting."""
    return in_order(
        [attempt.bash("Let me look at the files.", "ls -la"), PolicyTurn("This is too hard for me. I give up.")]
    )


def cheater(attempt: SimulatedAttempt) -> Callable[[int], PolicyTurn]:
    """Try every trick to earn the reward without the work, then submit."""
    turns = [attempt.bash(f"I will {cheat.title}.", cheat.command()) for cheat in CHEATS]
    return in_order([*turns, attempt.submit("All tests pass.")])
