"""Programmatic policies: from a task package and a seed, each makes the assistant's turn for every number. Pure."""

from collections.abc import Callable, Mapping

from synthbench.simulation.attempt import PolicyTurn, SimulatedAttempt
from synthbench.simulation.policies.expert import expert
from synthbench.simulation.policies.novice import novice
from synthbench.simulation.policies.simple import cheater, looper, quitter

SimulatedPolicy = Callable[[SimulatedAttempt], Callable[[int], PolicyTurn]]

POLICIES: Mapping[str, SimulatedPolicy] = {
    "expert": expert,
    "novice": novice,
    "looper": looper,
    "quitter": quitter,
    "cheater": cheater,
}
