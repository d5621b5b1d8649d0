"""Stored trajectories that submissions fork, read from the artifact store."""

from collections.abc import Awaitable, Callable, Collection

from synthbench.contracts.events import TaskSubmitted
from synthbench.contracts.records import FieldError, TaskInfo
from synthbench.scheduler.domain.forking import fork_errors
from synthbench.storage.artifacts import ArtifactStore, uri_of_digest
from synthbench.storage.errors import ArtifactCorrupt, ArtifactNotFound
from synthbench.storage.trajectories import read_trajectory


class Parents:
    """Checks what is to be forked before anything is planned.

    Args:
        store: has the trajectories and their checkpoints.
        resumable: told the scaffold that is asked for, returns the names of those that can go on from recorded steps.
    """

    def __init__(self, store: ArtifactStore, resumable: Callable[[str], Awaitable[Collection[str]]]) -> None:
        self._store = store
        self._resumable = resumable

    async def problems(self, submitted: TaskSubmitted, task: TaskInfo) -> list[FieldError]:
        """Return what is wrong with the fork that a submission asks for; nothing if it asks for none."""
        fork = submitted.fork
        if fork is None:
            return []
        try:
            parent = await read_trajectory(self._store, uri_of_digest(fork.artifact))
        except ArtifactNotFound:
            return [FieldError(field="fork.artifact", message=f"nothing is stored under {fork.artifact}")]
        except ArtifactCorrupt:
            return [FieldError(field="fork.artifact", message=f"{fork.artifact} is no trajectory")]
        errors = fork_errors(submitted, fork, task, parent, await self._resumable(submitted.scaffold))
        if errors:
            return errors
        for step in parent.steps[: fork.step + 1]:
            kept = step.state.checkpoint
            if kept is not None and not await self._store.exists(kept.uri):
                return [FieldError(field="fork.step", message=f"the checkpoint of step {step.index} is gone")]
        return []
