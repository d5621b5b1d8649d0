"""The rows of a stored trajectory: facets, searched words, names of artifacts, verdicts."""

from collections.abc import Iterable
from typing import Any, NamedTuple
from uuid import UUID

from psycopg.types.json import Jsonb

from synthbench.contracts.events import TrajectoryCurated, TrajectoryScored
from synthbench.contracts.records import ArtifactRef
from synthbench.contracts.trajectory import Trajectory, TrajectorySummary
from synthbench.storage.database import Connection, Database
from synthbench.storage.queries import Queries

SQL = Queries.load("synthbench.collector.adapters", "trajectories.sql")


class TrajectoryEntry(NamedTuple):
    """The catalogue's entry of a trajectory whose file is in the artifact store."""

    trajectory: Trajectory
    summary: TrajectorySummary
    artifact: ArtifactRef
    counted: bool
    """Whether it is the one that counts for its rollout."""
    words: str
    """The text that searches look through."""
    uris: frozenset[str]
    """URIs of all artifacts that it names, its own among them; garbage collection keeps them."""

    def row(self) -> dict[str, Any]:
        """The columns of `trajectories` that are known when it is stored."""
        trajectory, summary = self.trajectory, self.summary
        rollout, imported, fork = trajectory.rollout, trajectory.imported, trajectory.rollout.forked_from
        return {
            "trajectory_id": trajectory.trajectory_id,
            "rollout_id": rollout.rollout_id,
            "attempt": trajectory.attempt,
            "submission_id": rollout.submission_id,
            "campaign": rollout.campaign,
            "counted": self.counted,
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
            "artifact": Jsonb(self.artifact.to_dict()),
            "forked_from": fork.trajectory_id if fork else None,
            "forked_step": fork.step if fork else None,
            "resumed_from": trajectory.context.resumed_from if trajectory.context.resumed_attempt else None,
            "imported": imported.format if imported else None,
            "resolved": imported.resolved if imported else None,
        }


async def insert_trajectory(connection: Connection, entry: TrajectoryEntry) -> bool:
    """Insert a trajectory's row; False if it was there."""
    cursor = await connection.execute(SQL["insert_trajectory"], entry.row())
    return await cursor.fetchone() is not None


async def insert_contents(connection: Connection, entry: TrajectoryEntry) -> None:
    """Insert what is searched and named; what is there stays."""
    trajectory_id = entry.trajectory.trajectory_id
    await connection.execute(SQL["insert_words"], {"trajectory_id": trajectory_id, "words": entry.words})
    await insert_names(connection, trajectory_id, entry.uris)


async def insert_names(connection: Connection, trajectory_id: UUID, uris: Iterable[str]) -> None:
    """Insert the URIs of the artifacts that a trajectory names."""
    await connection.execute(SQL["insert_names"], {"trajectory_id": trajectory_id, "uris": sorted(uris)})


async def apply_verdict(connection: Connection, event: TrajectoryScored | TrajectoryCurated) -> None:
    """Write a verdict into its trajectory's row; nothing happens while there is no such row."""
    if isinstance(event, TrajectoryScored):
        parameters = {
            "trajectory_id": event.trajectory_id,
            "verdict": event.verdict,
            "aggregate": event.aggregate,
            "policy": event.policy,
            "scores": Jsonb([score.to_dict() for score in event.scores]),
        }
        await connection.execute(SQL["apply_scored"], parameters)
    else:
        parameters = {
            "trajectory_id": event.trajectory_id,
            "status": event.status,
            "duplicate_of": event.duplicate_of,
            "similarity": event.similarity,
        }
        await connection.execute(SQL["apply_curated"], parameters)


async def apply_early_verdicts(connection: Connection, trajectory_id: UUID) -> None:
    """Apply the verdicts that came before the trajectory's row."""
    rows = await (await connection.execute(SQL["verdicts_of"], {"trajectory_id": trajectory_id})).fetchall()
    for row in rows:
        model = TrajectoryScored if row["kind"] == "scored" else TrajectoryCurated
        await apply_verdict(connection, model.model_validate_json(row["body"]))


class ImportStore:
    """Writes trajectories that were made elsewhere."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def insert(self, entry: TrajectoryEntry) -> bool:
        """Insert an imported trajectory with its words and names; False if it was there."""
        async with self._database.connection() as connection:
            await connection.execute(SQL["import_lock"], {"trajectory_id": entry.trajectory.trajectory_id})
            inserted = await insert_trajectory(connection, entry)
            await insert_contents(connection, entry)
        return inserted
