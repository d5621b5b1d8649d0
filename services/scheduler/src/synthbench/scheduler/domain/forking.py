"""Whether a stored trajectory can be forked as a submission asks, field by field. Pure."""

from collections.abc import Collection

from synthbench.contracts.events import TaskSubmitted
from synthbench.contracts.records import FieldError, ForkPoint, TaskInfo
from synthbench.contracts.scaffolds import is_simulated
from synthbench.contracts.trajectory import Trajectory


def fork_errors(
    submitted: TaskSubmitted, fork: ForkPoint, task: TaskInfo, parent: Trajectory, resumable: Collection[str]
) -> list[FieldError]:
    """Return what is wrong with a fork; nothing if it can be made.

    Args:
        submitted: the submission.
        fork: where it branches off.
        task: what the submission's task turned out to be.
        parent: the trajectory under the artifact that the fork names.
        resumable: names of the scaffolds that can go on from recorded steps.
    """
    errors = [*_scaffold_errors(submitted, parent, resumable), *_step_errors(fork, parent)]
    if parent.trajectory_id != fork.trajectory_id:
        problem = f"the artifact holds trajectory {parent.trajectory_id}"
        errors.append(FieldError(field="fork.trajectory_id", message=problem))
    if parent.rollout.task.digest != task.digest:
        problem = f"the trajectory is of another version of {parent.rollout.task.name}: {parent.rollout.task.digest}"
        errors.append(FieldError(field="task", message=problem))
    return errors


def _scaffold_errors(submitted: TaskSubmitted, parent: Trajectory, resumable: Collection[str]) -> list[FieldError]:
    errors: list[FieldError] = []
    made_by = parent.rollout.scaffold
    if submitted.scaffold not in resumable:
        problem = f"{submitted.scaffold} cannot go on from recorded steps; take {', '.join(resumable)}"
        errors.append(FieldError(field="scaffold", message=problem))
    elif made_by != submitted.scaffold:
        errors.append(FieldError(field="scaffold", message=f"the trajectory was made by {made_by}; only that forks it"))
    if parent.rollout.simulated and not is_simulated(submitted.scaffold, submitted.route):
        problem = "the trajectory is simulated: fork it with a sim/* model, or start a real one anew"
        errors.append(FieldError(field="route", message=problem))
    return errors


def _step_errors(fork: ForkPoint, parent: Trajectory) -> list[FieldError]:
    """There must be a step behind it to differ from, and the files must be known."""
    last = len(parent.steps) - 2
    if fork.step > last:
        can = f"after 0 to {last}" if last >= 0 else "nowhere"
        problem = f"the trajectory has {len(parent.steps)} steps; it can be forked {can}, counted from 0"
        return [FieldError(field="fork.step", message=problem)]
    for step in parent.steps[: fork.step + 1]:
        if step.state.changed and step.state.checkpoint is None:
            problem = f"step {step.index} changed files and has no checkpoint"
            return [FieldError(field="fork.step", message=problem)]
    return []
