"""Facts beside the conversation that every export writes and every import reads back: task, label, sampling. Pure."""

from typing import Any

from synthbench.contracts.trajectory import Trajectory

OURS = "synthbench"
"""Key of the object in which an export carries what its format has no field for."""
IMPORTED_PREFIX = "imported/"
"""Before the task names of documents that others wrote."""


def resolved_of(trajectory: Trajectory) -> bool | None:
    """Whether it solved its task: by the label it was imported with, else by its verification; None without either."""
    if trajectory.imported is not None:
        return trajectory.imported.resolved
    result = trajectory.verification
    return None if result is None or result.error is not None else result.reward == 1.0


def instance_of(trajectory: Trajectory) -> str:
    """The id of its task, as a list of labels names it."""
    return trajectory.rollout.task.name.removeprefix(IMPORTED_PREFIX)


def facts_of(trajectory: Trajectory) -> dict[str, Any]:
    """Flat facts that a round trip must not change and that a row of messages has no common column for.

    `system_prompt` and `instruction` are null where the messages say them.
    """
    rollout = trajectory.rollout
    return {
        "task": rollout.task.name,
        "task_digest": rollout.task.digest,
        "scaffold": rollout.scaffold,
        "scaffold_version": trajectory.context.scaffold_version,
        "outcome": trajectory.outcome.value,
        "detail": trajectory.detail,
        "simulated": rollout.simulated,
        "sampling": rollout.sampling.to_dict(),
        "system_prompt": None,
        "instruction": None,
    }
