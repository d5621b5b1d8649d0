"""Trajectories that others made: what came is read, looked at step by step, and kept beside our own."""

from typing import Literal

from synthbench.collector.adapters.rows import trajectory_row
from synthbench.collector.domain.assembly import Tally, searched, summarise
from synthbench.collector.domain.soundness import sound
from synthbench.collector.handlers import SQL
from synthbench.contracts.ids import derived_id
from synthbench.contracts.naming import artifacts_of
from synthbench.contracts.records import ArtifactRef
from synthbench.contracts.trajectory import Trajectory
from synthbench.datasets.formats.foreign import imported_rollout_id
from synthbench.storage.artifacts import ArtifactStore
from synthbench.storage.database import Database
from synthbench.storage.trajectories import read_trajectory

State = Literal["stored", "there"]


class NotImportable(ValueError):
    """What was handed in is no imported trajectory; why, in one line."""


class Imports:
    """Takes them in, once each."""

    def __init__(self, database: Database, store: ArtifactStore) -> None:
        self._database = database
        self._store = store

    async def take(self, artifact: ArtifactRef) -> tuple[Trajectory, State]:
        """Put a trajectory that lies in the artifact store into the catalogue; `there` if it was already.

        Raises:
            NotImportable: it says that it was made here, or is not what its digests and ids say.
            ArtifactNotFound, ArtifactCorrupt, ArtifactStoreUnavailable: as the store does.
        """
        trajectory = await read_trajectory(self._store, artifact.uri)
        if problem := _problem(trajectory):
            raise NotImportable(problem)
        tally = Tally()
        for step in trajectory.steps:
            tally.take(step)
        row = trajectory_row(trajectory, summarise(trajectory, tally), artifact, counted=False)
        async with self._database.connection() as connection:
            identity = {"trajectory_id": trajectory.trajectory_id}
            await connection.execute(SQL["import_lock"], identity)
            inserted = await (await connection.execute(SQL["insert_trajectory"], row)).fetchone()
            await connection.execute(SQL["insert_words"], {**identity, "words": searched(trajectory, tally)})
            names = {artifact.uri, *(reference.uri for reference in artifacts_of(trajectory))}
            await connection.execute(SQL["insert_names"], {**identity, "uris": sorted(names)})
        return trajectory, "there" if inserted is None else "stored"


def _problem(trajectory: Trajectory) -> str:
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
