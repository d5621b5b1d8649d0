"""`sim/looper`, `sim/quitter` and `sim/cheater` do what they say."""

from collections.abc import Callable

from synthbench.llm_gateway.sims.player import Player, Turn, in_order
from synthbench.tasks.cheats import CHEATS


def looper(player: Player) -> Callable[[int], Turn]:
    """Run the same command again and again, until that ends it."""
    return in_order([player.bash("Let me look at the files.", "ls -la")])


def quitter(player: Player) -> Callable[[int], Turn]:
    """Look once, and stop without calling a tool or submitting."""
    return in_order([player.bash("Let me look at the files.", "ls -la"), Turn("This is too hard for me. I give up.")])


def cheater(player: Player) -> Callable[[int], Turn]:
    """Try every trick to earn the reward without the work, then submit."""
    turns = [player.bash(f"I will {cheat.title}.", cheat.command()) for cheat in CHEATS]
    return in_order([*turns, player.submit("All tests pass.")])
