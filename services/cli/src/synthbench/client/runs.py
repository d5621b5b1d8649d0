"""Submitting tasks and reading back the trajectories; the Python API and the commands are built on it."""

import asyncio
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from synthbench.client.errors import CliError
from synthbench.client.progress import Progress, RolloutProgress
from synthbench.client.stack_client import Listener, StackClient, quoted
from synthbench.contracts.events import TaskSubmitted
from synthbench.contracts.records import ArtifactRef
from synthbench.contracts.trajectory import Trajectory
from synthbench.storage.artifacts import FilesStore
from synthbench.tasks import TaskError, load_package, pack

_READS = 8
_NAMED = 3
_POLL_SECONDS = 0.2
_SETTLE_SECONDS = 10.0


@dataclass(frozen=True)
class RecordedTrajectory:
    """One stored trajectory, with its entry in the catalogue."""

    trajectory: Trajectory
    entry: dict[str, Any]
    """The catalogue's entry: scores, verdict, curation, …"""
    location: str
    """Path or URI of the trajectory's JSON."""

    def row(self) -> dict[str, Any]:
        """Return the columns of result tables."""
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
class FailedRun:
    """A submission, or one rollout of it, that led to no trajectory."""

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


async def run_submissions(
    client: StackClient,
    submissions: Sequence[TaskSubmitted],
    listener: Listener | None = None,
    names: Mapping[str, str] | None = None,
) -> tuple[list[RecordedTrajectory], list[FailedRun]]:
    """Submit, follow to the end, and read the trajectories back.

    Args:
        client: of the stack.
        submissions: what to submit.
        listener: sees each event.
        names: what a person calls the tasks that submissions name by their digests.
    """
    ended = await client.submit(submissions, listener)
    curated = [rollout.curated for one in ended for rollout in one.rollouts.values() if rollout.curated]
    permits = asyncio.Semaphore(_READS)

    async def read(trajectory_id: UUID) -> RecordedTrajectory:
        async with permits:
            return await read_recorded(client, trajectory_id)

    recorded = await asyncio.gather(*(read(one.trajectory_id) for one in curated))
    return recorded, failures(submissions, ended, names or {})


def failures(
    submissions: Sequence[TaskSubmitted], ended: Sequence[Progress], names: Mapping[str, str]
) -> list[FailedRun]:
    """Return what led to no trajectory: a rejected submission as a whole, else each rollout.

    Args:
        submissions: as they were submitted.
        ended: their progress at the end, in the same order.
        names: what a person calls the tasks that submissions name by their digests.
    """
    failed: list[FailedRun] = []
    for wanted, progress in zip(submissions, ended, strict=True):
        task = names.get(wanted.task, wanted.task)
        if progress.accepted is not None:
            task = progress.accepted.task.name.rpartition("/")[2]
        if progress.rejected:
            reasons = "; ".join(f"{e.field}: {e.message}" if e.field else e.message for e in progress.rejected)
            failed.append(FailedRun(task, f"rejected: {reasons}"))
            continue
        lost = [rollout for rollout in progress.rollouts.values() if not rollout.curated]
        failed += [FailedRun(task, _why(progress, rollout)) for rollout in lost]
        if not progress.rollouts:
            failed.append(FailedRun(task, _why(progress)))
    return failed


def failure_lines(failed: Sequence[FailedRun]) -> list[str]:
    """One line for each reason, headed by the tasks that it holds for, with how often it came."""
    tasks: dict[str, Counter[str]] = {}
    for one in failed:
        tasks.setdefault(one.reason, Counter())[one.task] += 1
    lines: list[str] = []
    for reason, named in tasks.items():
        shown = ", ".join(list(named)[:_NAMED]) + (f" and {len(named) - _NAMED} more" if len(named) > _NAMED else "")
        times = f" ({named.total()} times)" if named.total() > 1 else ""
        lines.append(f"{shown}{times}: {reason}")
    return lines


def _why(progress: Progress, rollout: RolloutProgress | None = None) -> str:
    reason = rollout.closed.reason if rollout and rollout.closed else ""
    return f"{progress.state or 'unfinished'}: {reason or progress.detail or 'no attempt succeeded'}"


async def entries_of(client: StackClient, campaign: str, submissions: Collection[UUID]) -> list[dict[str, Any]]:
    """Return the catalogue's entries of submissions that just ended, once it knows all of their curations."""
    first = min(submissions, default=None)
    if first is None:
        return []
    begun = datetime.fromtimestamp((first.int >> 80) / 1000, UTC) - timedelta(minutes=1)  # a UUIDv7 has its time
    wanted = f'campaign:{quoted(campaign)} counted:true stored>="{begun.isoformat()}"'
    deadline = asyncio.get_running_loop().time() + _SETTLE_SECONDS
    while True:
        found = [one async for one in client.trajectories(wanted) if UUID(str(one["submission_id"])) in submissions]
        if all(one["verdict"] and one["curation"] for one in found) or asyncio.get_running_loop().time() > deadline:
            return [{**one, "model": one["route"] or one["scaffold"]} for one in found]
        await asyncio.sleep(_POLL_SECONDS)


async def read_recorded(client: StackClient, trajectory_id: UUID | str) -> RecordedTrajectory:
    """Read a trajectory and what is known of it."""
    entry = await client.wait_settled(trajectory_id)
    _, trajectory = await client.trajectory(trajectory_id)
    reference = ArtifactRef.model_validate(entry["artifact"])
    location = str(client.store.local_path(reference.uri)) if isinstance(client.store, FilesStore) else reference.uri
    return RecordedTrajectory(trajectory, entry, location)
