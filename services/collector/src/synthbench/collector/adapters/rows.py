"""Rows of the catalogue."""

from typing import Any

from psycopg.types.json import Jsonb

from synthbench.contracts.records import ArtifactRef
from synthbench.contracts.trajectory import Trajectory, TrajectorySummary


def trajectory_row(
    trajectory: Trajectory, summary: TrajectorySummary, artifact: ArtifactRef, *, counted: bool
) -> dict[str, Any]:
    """What the catalogue keeps of a stored trajectory."""
    rollout, imported = trajectory.rollout, trajectory.imported
    fork = rollout.forked_from
    return {
        "trajectory_id": trajectory.trajectory_id,
        "rollout_id": rollout.rollout_id,
        "attempt": trajectory.attempt,
        "submission_id": rollout.submission_id,
        "campaign": rollout.campaign,
        "counted": counted,
        "task": summary.task_name,
        "category": summary.category,
        "difficulty": summary.difficulty,
        "scaffold": summary.scaffold,
        "route": summary.route,
        "model": summary.model,
        "outcome": summary.outcome,
        "reward": summary.reward,
        "steps": summary.steps,
        "seconds": summary.seconds,
        "input_tokens": summary.usage.input_tokens,
        "output_tokens": summary.usage.output_tokens,
        "cost_microusd": summary.usage.cost_microusd,
        "cost_known": summary.usage.cost_known,
        "simulated": summary.simulated,
        "forgeable": summary.forgeable,
        "incomplete": trajectory.incomplete,
        "detail": trajectory.detail,
        "artifact": Jsonb(artifact.to_dict()),
        "forked_from": fork.trajectory_id if fork else None,
        "forked_step": fork.step if fork else None,
        "resumed_from": trajectory.context.resumed_from if trajectory.context.resumed_attempt else None,
        "imported": imported.format if imported else None,
        "resolved": imported.resolved if imported else None,
    }
