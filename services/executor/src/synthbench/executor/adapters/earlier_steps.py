"""Reads the steps before an attempt: journals of the rollout's earlier attempts, and the trajectory that it forks."""

from collections.abc import Collection
from uuid import UUID

from synthbench.contracts.events import AttemptStarted, StepRecorded
from synthbench.contracts.journal import journal_prefix, read_journalled
from synthbench.contracts.records import ForkPoint
from synthbench.contracts.steps import Step, step_digest
from synthbench.contracts.trajectory import Trajectory
from synthbench.executor.domain.endings import InfraFailure
from synthbench.executor.domain.resuming import AttemptJournal
from synthbench.storage.artifacts import ArtifactStore, key_uri, uri_of_digest
from synthbench.storage.errors import ArtifactCorrupt, ArtifactNotFound
from synthbench.storage.trajectories import read_trajectory


async def read_journals(
    store: ArtifactStore, rollout_id: UUID, before: int, given_back: Collection[int]
) -> list[AttemptJournal]:
    """The journals of the attempts before `before` that left one."""
    found = [await _journal(store, rollout_id, attempt, attempt in given_back) for attempt in range(1, before)]
    return [journal for journal in found if journal is not None]


async def _journal(store: ArtifactStore, rollout_id: UUID, attempt: int, given_back: bool) -> AttemptJournal | None:
    steps: dict[int, Step] = {}
    started: AttemptStarted | None = None
    try:
        async for key in store.list(journal_prefix(rollout_id, attempt)):
            match read_journalled(key, await store.get(key_uri(key))):
                case AttemptStarted() as event:
                    started = event
                case StepRecorded(step=step) if step.digest == step_digest(step):
                    steps[step.index] = step
                case _:
                    pass
    except (ArtifactNotFound, ValueError):
        return None  # it is being cleared away, so the rollout is over; or no journal of ours
    if started is None:
        return None
    prefix: list[Step] = []
    while len(prefix) in steps:
        prefix.append(steps[len(prefix)])
    return AttemptJournal(attempt, tuple(prefix), started.context.scaffold_version, given_back=given_back)


async def read_parent(store: ArtifactStore, fork: ForkPoint, task_digest: str, scaffold_version: str) -> Trajectory:
    """The trajectory that is forked.

    Raises:
        InfraFailure: it cannot be had, or is none that this rollout can go on from.
    """
    try:
        parent = await read_trajectory(store, uri_of_digest(fork.artifact))
    except (ArtifactNotFound, ArtifactCorrupt) as error:
        raise InfraFailure(f"the forked trajectory {fork.trajectory_id} cannot be read: {error}") from error
    problem = ""
    if parent.trajectory_id != fork.trajectory_id:
        problem = f"the artifact holds trajectory {parent.trajectory_id}"
    elif parent.rollout.task.digest != task_digest:
        problem = "it is of another version of the task"
    elif parent.context.scaffold_version != scaffold_version:
        problem = f"it was made by {parent.context.scaffold_version}, this executor has {scaffold_version}"
    elif fork.step >= len(parent.steps):
        problem = f"it has {len(parent.steps)} steps"
    if problem:
        raise InfraFailure(f"trajectory {fork.trajectory_id} cannot be forked after step {fork.step}: {problem}")
    return parent


async def readable_prefix(store: ArtifactStore, steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """The steps before the first one whose checkpoint is gone, or was never kept although files changed."""
    for position, step in enumerate(steps):
        kept = step.state.checkpoint
        if kept is None and step.state.changed:
            return steps[:position]
        if kept is not None and not await store.exists(kept.uri):
            return steps[:position]
    return steps
