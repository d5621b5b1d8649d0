"""Rewards of stored trajectories under other weights. Pure: nothing is run, and the records stay as they are."""

from typing import Any

from synthbench.contracts.rewards import scalar, totals
from synthbench.contracts.trajectory import Trajectory


def rescored(trajectory: Trajectory, weights: dict[str, float]) -> dict[str, Any]:
    """Return the reward of a trajectory as it was stored (`before`) and under the weights (`now`).

    Args:
        trajectory: with the reward parts that were measured.
        weights: of each reward part, by its name.

    Returns:
        An object with `trajectory_id`, `task`, `outcome`, `before`, `now`, `parts` (their totals) and `missing`: why
        parts that have a weight were not measured; these add nothing to `now`.
    """
    rewards = trajectory.rewards
    parts = totals(rewards) if rewards else {}
    reasons = rewards.missing if rewards else {}
    missing = {name: reasons.get(name, "not measured") for name in weights if name not in parts or name in reasons}
    return {
        "trajectory_id": str(trajectory.trajectory_id),
        "task": trajectory.rollout.task.name.rpartition("/")[2],
        "outcome": str(trajectory.outcome),
        "before": trajectory.reward,
        "now": scalar(rewards, weights) if rewards else None,
        "parts": parts,
        "missing": missing,
    }
