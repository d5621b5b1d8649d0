"""Submitting work and gathering what came of it; the Python API and the commands stand on it."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from synthbench.cli.client import Listener, StackClient
from synthbench.cli.errors import CliError
from synthbench.cli.progress import Progress
from synthbench.contracts.events import TaskSubmitted
from synthbench.contracts.records import ArtifactRef
from synthbench.contracts.trajectory import Trajectory
from synthbench.storage.artifacts import FilesStore
from synthbench.tasks import TaskError, load_package, pack


@dataclass(frozen=True)
class Made:
    """One trajectory, with what the catalogue says of it."""

    trajectory: Trajectory
    entry: dict[str, Any]
    """Scores, verdict, curation, …"""
    location: str
    """Path or URI of the trajectory's JSON."""

    def row(self) -> dict[str, Any]:
        """As tables show it."""
        trajectory = self.trajectory
        seconds = trajectory.timing.model_seconds + trajectory.timing.tool_seconds
        if trajectory.started_at and trajectory.finished_at:
            seconds = (trajectory.finished_at - trajectory.started_at).total_seconds()
        return {
            "task": trajectory.rollout.task.name.rpartition("/")[2],
            "difficulty": trajectory.rollout.task.difficulty,
            "model": trajectory.rollout.route or trajectory.rollout.scaffold,
            "outcome": str(trajectory.outcome),
            "steps": len(trajectory.steps),
            "reward": trajectory.reward,
            "verdict": str(self.entry.get("verdict")),
            "curation": str(self.entry.get("curation")),
            "seconds": seconds,
            "trajectory": str(trajectory.trajectory_id),
        }


@dataclass(frozen=True)
class Failed:
    """A submission, or one rollout of it, that made no trajectory."""

    task: str
    reason: str


async def task_reference(client: StackClient, task: str) -> str:
    """Return what to submit: a library name as it is, a folder as the digest of its uploaded package.

    Raises:
        CliError: the folder holds no usable package.
    """
    path = Path(task)
    if not ("/" in task or task.startswith(".") or await asyncio.to_thread(path.is_dir)):
        return task
    try:
        package = await asyncio.to_thread(load_package, path)
    except TaskError as error:
        raise CliError(str(error)) from error
    return (await client.store.put(pack(package), media_type="application/x-tar")).digest


async def carry_out(
    client: StackClient, submissions: Sequence[TaskSubmitted], listener: Listener | None = None
) -> tuple[list[Made], list[Failed]]:
    """Submit, follow to the end, and read the trajectories back."""
    made: list[Made] = []
    failed: list[Failed] = []
    for wanted, progress in zip(submissions, await client.submit(submissions, listener), strict=True):
        if progress.rejected:
            reasons = "; ".join(f"{e.field}: {e.message}" if e.field else e.message for e in progress.rejected)
            failed.append(Failed(wanted.task, f"rejected: {reasons}"))
            continue
        for rollout in progress.rollouts.values():
            if rollout.curated:
                made.append(await read_made(client, rollout.curated.trajectory_id))
            else:
                failed.append(Failed(wanted.task, _why(progress)))
        if not progress.rollouts:
            failed.append(Failed(wanted.task, _why(progress)))
    return made, failed


def _why(progress: Progress) -> str:
    return f"{progress.state or 'unfinished'}: {progress.detail or 'no attempt succeeded'}"


async def read_made(client: StackClient, trajectory_id: UUID | str) -> Made:
    """Read a trajectory and what is known of it."""
    entry = await client.wait_settled(trajectory_id)
    _, trajectory = await client.trajectory(trajectory_id)
    reference = ArtifactRef.model_validate(entry["artifact"])
    location = str(client.store.local_path(reference.uri)) if isinstance(client.store, FilesStore) else reference.uri
    return Made(trajectory, entry, location)
