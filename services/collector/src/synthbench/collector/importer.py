"""Takes trajectories that were made elsewhere into the catalogue: read, checked step by step, never counted."""

from typing import Literal

from synthbench.collector.adapters.trajectories import ImportStore, TrajectoryEntry
from synthbench.collector.domain.assembly import StepTotals, searched, summarise
from synthbench.collector.domain.soundness import sound
from synthbench.contracts.ids import derived_id
from synthbench.contracts.naming import artifacts_of
from synthbench.contracts.records import ArtifactRef
from synthbench.contracts.trajectory import Trajectory
from synthbench.datasets.formats.foreign import imported_rollout_id
from synthbench.storage.artifacts import ArtifactStore
from synthbench.storage.database import Database
from synthbench.storage.trajectories import read_trajectory

ImportState = Literal["stored", "there"]


class NotImportable(ValueError):
    """The file holds no imported trajectory; the message says why, in one line."""


class TrajectoryImporter:
    """Takes in each trajectory once."""

    def __init__(self, database: Database, store: ArtifactStore) -> None:
        self._table = ImportStore(database)
        self._store = store

    async def take(self, artifact: ArtifactRef) -> tuple[Trajectory, ImportState]:
        """Put a trajectory that lies in the artifact store into the catalogue; `there` if it was already.

        Raises:
            NotImportable: it says that it was made here, or its digests or ids do not match its content.
            ArtifactNotFound, ArtifactCorrupt, ArtifactStoreUnavailable: as the store does.
        """
        trajectory = await read_trajectory(self._store, artifact.uri)
        if problem := _problem(trajectory):
            raise NotImportable(problem)
        totals = StepTotals()
        for step in trajectory.steps:
            totals.add(step)
        entry = TrajectoryEntry(
            trajectory,
            summarise(trajectory, totals),
            artifact,
            counted=False,
            words=searched(trajectory, totals),
            uris=frozenset({artifact.uri, *(reference.uri for reference in artifacts_of(trajectory))}),
        )
        return trajectory, "stored" if await self._table.insert(entry) else "there"


def _problem(trajectory: Trajectory) -> str:
    """Why it cannot be imported; empty if it can."""
    imported, rollout = trajectory.imported, trajectory.rollout
    if imported is None or trajectory.verification is not None or trajectory.reward:
        return "it is no imported trajectory"
    if rollout.rollout_id != imported_rollout_id(imported.digest):
        return "its rollout is not the one of its document"
    if trajectory.trajectory_id != derived_id("trajectory", rollout.rollout_id, trajectory.attempt):
        return "its id is not the one of its rollout"
    for position, step in enumerate(trajectory.steps):
        if step.index != position or not sound(step):
            return f"step {position} is missing, or not what its digest says"
    return ""
