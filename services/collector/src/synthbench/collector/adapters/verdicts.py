"""Writing verdicts onto a trajectory's row."""

from psycopg.types.json import Jsonb

from synthbench.contracts.events import TrajectoryCurated, TrajectoryScored
from synthbench.storage.database import Connection
from synthbench.storage.queries import Queries


async def apply_verdict(connection: Connection, sql: Queries, body: TrajectoryScored | TrajectoryCurated) -> None:
    """Write a verdict onto its trajectory; nothing happens if that is not stored yet."""
    if isinstance(body, TrajectoryScored):
        parameters = {
            "trajectory_id": body.trajectory_id,
            "verdict": body.verdict,
            "aggregate": body.aggregate,
            "policy": body.policy,
            "scores": Jsonb([score.to_dict() for score in body.scores]),
        }
        await connection.execute(sql["apply_scored"], parameters)
    else:
        parameters = {
            "trajectory_id": body.trajectory_id,
            "status": body.status,
            "duplicate_of": body.duplicate_of,
            "similarity": body.similarity,
        }
        await connection.execute(sql["apply_curated"], parameters)
