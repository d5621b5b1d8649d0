"""Prepares the workspace of an attempt: as the task gives it, or as the steps of an earlier attempt left it."""

import asyncio
from dataclasses import dataclass

from synthbench.chassis.telemetry import span
from synthbench.contracts.rpc import ClaimReply
from synthbench.executor.adapters.earlier_steps import read_journals, read_parent, readable_prefix
from synthbench.executor.domain.endings import InfraFailure
from synthbench.executor.domain.resuming import StartingPoint, choose_journal, taken_over
from synthbench.executor.environment import fill_workspace
from synthbench.executor.scaffold import Scaffold
from synthbench.sandbox.diff import Snapshot
from synthbench.sandbox.errors import ArchiveRefused, PathRefused
from synthbench.sandbox.protocol import Sandbox, SandboxEngine
from synthbench.sandbox.spec import SandboxSpec
from synthbench.storage.artifacts import ArtifactStore
from synthbench.storage.errors import ArtifactCorrupt, ArtifactNotFound
from synthbench.tasks import TaskPackage


class CannotRestore(Exception):
    """A checkpoint cannot be applied to a workspace; the sandbox cannot be used any more."""


@dataclass(frozen=True)
class PreparedWorkspace:
    """A sandbox in which work may begin. Its user closes the sandbox."""

    sandbox: Sandbox
    start: StartingPoint
    """The steps that were done before; the workspace is as they left it."""
    baseline: Snapshot
    """The task's own workspace, against which the whole change of the attempt is measured."""
    now: Snapshot
    """The workspace after the steps that were taken over."""


async def prepare_workspace(
    engine: SandboxEngine,
    spec: SandboxSpec,
    store: ArtifactStore,
    grant: ClaimReply,
    scaffold: Scaffold,
    package: TaskPackage,
) -> PreparedWorkspace:
    """Make the sandbox of an attempt, with its workspace as far on as earlier steps allow.

    Raises:
        InfraFailure: the rollout is a fork, and the steps that it forks cannot be restored.
        SandboxError: no sandbox can be made.
    """
    start = await find_starting_point(store, grant, scaffold, package)
    try:
        return await _prepare(engine, spec, store, package, start)
    except CannotRestore as error:
        original = await original_starting_point(store, grant, scaffold, package)
        if original == start:
            raise InfraFailure(str(error)) from error
        try:
            return await _prepare(engine, spec, store, package, original)
        except CannotRestore as again:
            raise InfraFailure(str(again)) from again


async def _prepare(
    engine: SandboxEngine, spec: SandboxSpec, store: ArtifactStore, package: TaskPackage, start: StartingPoint
) -> PreparedWorkspace:
    with span("create_sandbox", attributes={"synthbench.sandbox.engine": engine.name}) as opened:
        sandbox = await engine.create(spec)
        opened.set_attribute("synthbench.sandbox.id", sandbox.id)
    try:
        await fill_workspace(sandbox, package)
        baseline = now = await sandbox.snapshot()
        if start.steps:
            with span("restore", attributes={"synthbench.steps": len(start.steps)}):
                await restore(sandbox, start, store)
                _, now = await sandbox.step(baseline)
    except BaseException:
        await asyncio.shield(sandbox.close())
        raise
    return PreparedWorkspace(sandbox, start, baseline, now)


async def restore(sandbox: Sandbox, start: StartingPoint, store: ArtifactStore) -> None:
    """Apply the checkpoints of earlier steps, in their order, to a sandbox that holds the task's own workspace.

    Raises:
        CannotRestore: a checkpoint cannot be read, or holds a path that may not enter a workspace.
    """
    for step in start.steps:
        if step.state.checkpoint is None:
            continue
        try:
            await sandbox.apply(await store.get(step.state.checkpoint.uri))
        except (ArchiveRefused, PathRefused, ArtifactNotFound, ArtifactCorrupt) as error:
            raise CannotRestore(f"the checkpoint of step {step.index} cannot be restored: {error}") from error


def resumable(scaffold: Scaffold, package: TaskPackage) -> bool:
    """Return whether checkpoints are kept and used: not under the harbor profile, which writes beyond the workspace."""
    return scaffold.resumable and package.profile == "strict"


async def find_starting_point(
    store: ArtifactStore, grant: ClaimReply, scaffold: Scaffold, package: TaskPackage
) -> StartingPoint:
    """Find where the granted attempt begins: after an earlier attempt's steps, else at its fork, else at the task.

    Raises:
        InfraFailure: it is a fork, and the trajectory that it forks cannot be read.
    """
    assert grant.rollout is not None
    if grant.attempt > 1 and resumable(scaffold, package):
        rollout_id = grant.rollout.rollout_id
        journals = await read_journals(store, rollout_id, grant.attempt, grant.given_back)
        best = choose_journal(journals, scaffold.version)
        steps = await readable_prefix(store, best.steps) if best else ()
        if best and len(steps) > _forked_steps(grant):
            return StartingPoint(tuple(taken_over(step, rollout_id, best.attempt) for step in steps), best.attempt)
    return await original_starting_point(store, grant, scaffold, package)


async def original_starting_point(
    store: ArtifactStore, grant: ClaimReply, scaffold: Scaffold, package: TaskPackage
) -> StartingPoint:
    """Find where the first attempt of the rollout began: at its fork, else at the task.

    Raises:
        InfraFailure: it is a fork, and the trajectory that it forks cannot be read.
    """
    assert grant.rollout is not None
    fork = grant.rollout.forked_from
    if fork is None:
        return StartingPoint()
    if not resumable(scaffold, package):
        raise InfraFailure(f"scaffold {grant.rollout.scaffold} cannot go on from the steps of another trajectory")
    parent = await read_parent(store, fork, grant.rollout.task.digest, scaffold.version)
    steps = tuple(parent.steps[: fork.step + 1])
    if len(await readable_prefix(store, steps)) <= fork.step:
        raise InfraFailure(f"trajectory {fork.trajectory_id} has lost the checkpoints before step {fork.step}")
    return StartingPoint(tuple(taken_over(step, parent.rollout.rollout_id, parent.attempt) for step in steps))


def _forked_steps(grant: ClaimReply) -> int:
    """Return how many steps of another trajectory the rollout begins with."""
    fork = grant.rollout.forked_from if grant.rollout else None
    return fork.step + 1 if fork else 0
