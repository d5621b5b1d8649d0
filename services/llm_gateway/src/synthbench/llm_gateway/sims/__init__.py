"""Programmatic policies: from a task package and a seed, each makes the turn for every number. Pure."""

from collections.abc import Callable, Mapping

from synthbench.llm_gateway.sims.expert import expert
from synthbench.llm_gateway.sims.novice import novice
from synthbench.llm_gateway.sims.player import Player, Turn
from synthbench.llm_gateway.sims.simple import cheater, looper, quitter

Policy = Callable[[Player], Callable[[int], Turn]]

POLICIES: Mapping[str, Policy] = {
    "expert": expert,
    "novice": novice,
    "looper": looper,
    "quitter": quitter,
    "cheater": cheater,
}

__all__ = ["POLICIES", "Player", "Policy", "Turn"]
