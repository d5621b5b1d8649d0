"""The beginning of an attempt: a workspace as the task gives it, or as steps that were made before left it."""

import asyncio
from dataclasses import dataclass

from synthbench.chassis.telemetry import span
from synthbench.contracts.rpc import ClaimReply
from synthbench.executor.adapters.earlier import read_journals, read_parent, readable_prefix
from synthbench.executor.domain.endings import InfraFailure
from synthbench.executor.domain.resuming import Start, choose_journal, taken_over
from synthbench.executor.environment import outfit
from synthbench.executor.scaffold import Scaffold
from synthbench.sandbox.diff import Snapshot
from synthbench.sandbox.errors import ArchiveRefused, PathRefused
from synthbench.sandbox.protocol import Sandbox, SandboxEngine
from synthbench.sandbox.spec import SandboxSpec
from synthbench.storage.artifacts import ArtifactStore
from synthbench.storage.errors import ArtifactCorrupt, ArtifactNotFound
from synthbench.tasks import TaskPackage


class CannotRestore(Exception):
    """A checkpoint does not go into a workspace; the sandbox is spoilt."""


@dataclass(frozen=True)
class Ground:
    """A sandbox that work may begin in. Whoever has it closes the sandbox."""

    sandbox: Sandbox
    start: Start
    """What was done already: the sandbox is as it was after it."""
    baseline: Snapshot
    """The task's own workspace: what the whole change is measured against."""
    now: Snapshot
    """The workspace after the steps that were taken over."""


async def break_ground(
    engine: SandboxEngine,
    spec: SandboxSpec,
    store: ArtifactStore,
    grant: ClaimReply,
    scaffold: Scaffold,
    package: TaskPackage,
) -> Ground:
    """Make the sandbox of an attempt, as far on as it can be.

    Raises:
        InfraFailure: the rollout is a fork, and what it forks cannot be had.
        SandboxError: there is no sandbox to be had.
    """
    start = await find_start(store, grant, scaffold, package)
    try:
        return await _prepared(engine, spec, store, package, start)
    except CannotRestore as error:
        first = await first_start(store, grant, scaffold, package)
        if first == start:
            raise InfraFailure(str(error)) from error
        try:
            return await _prepared(engine, spec, store, package, first)
        except CannotRestore as again:
            raise InfraFailure(str(again)) from again


async def _prepared(
    engine: SandboxEngine, spec: SandboxSpec, store: ArtifactStore, package: TaskPackage, start: Start
) -> Ground:
    with span("create_sandbox", attributes={"synthbench.sandbox.engine": engine.name}) as opened:
        sandbox = await engine.create(spec)
        opened.set_attribute("synthbench.sandbox.id", sandbox.id)
    try:
        await outfit(sandbox, package)
        baseline = now = await sandbox.snapshot()
        if start.steps:
            with span("restore", attributes={"synthbench.steps": len(start.steps)}):
                await restore(sandbox, start, store)
                _, now = await sandbox.step(baseline)
    except BaseException:
        await asyncio.shield(sandbox.close())
        raise
    return Ground(sandbox, start, baseline, now)


async def restore(sandbox: Sandbox, start: Start, store: ArtifactStore) -> None:
    """Bring a sandbox that holds the task's own workspace to where the steps left off.

    Raises:
        CannotRestore: a checkpoint cannot be read, or holds what may not enter.
    """
    for step in start.steps:
        if step.state.checkpoint is None:
            continue
        try:
            await sandbox.apply(await store.get(step.state.checkpoint.uri))
        except (ArchiveRefused, PathRefused, ArtifactNotFound, ArtifactCorrupt) as error:
            raise CannotRestore(f"the checkpoint of step {step.index} cannot be restored: {error}") from error


def resumable(scaffold: Scaffold, package: TaskPackage) -> bool:
    """Whether checkpoints are kept and used. Under the harbor profile more than the workspace is written."""
    return scaffold.resumable and package.profile == "strict"


async def find_start(store: ArtifactStore, grant: ClaimReply, scaffold: Scaffold, package: TaskPackage) -> Start:
    """Where the granted attempt begins: after the steps of an earlier attempt, else at its fork, else at the task.

    Raises:
        InfraFailure: it is a fork, and what it forks cannot be had.
    """
    assert grant.rollout is not None
    if grant.attempt > 1 and resumable(scaffold, package):
        rollout_id = grant.rollout.rollout_id
        journals = await read_journals(store, rollout_id, grant.attempt, grant.given_back)
        best = choose_journal(journals, scaffold.version)
        steps = await readable_prefix(store, best.steps) if best else ()
        if best and len(steps) > _kept_anyway(grant):
            return Start(tuple(taken_over(step, rollout_id, best.attempt) for step in steps), best.attempt)
    return await first_start(store, grant, scaffold, package)


async def first_start(store: ArtifactStore, grant: ClaimReply, scaffold: Scaffold, package: TaskPackage) -> Start:
    """Where the rollout began: at its fork, else at the task.

    Raises:
        InfraFailure: as above.
    """
    assert grant.rollout is not None
    fork = grant.rollout.forked_from
    if fork is None:
        return Start()
    if not resumable(scaffold, package):
        raise InfraFailure(f"scaffold {grant.rollout.scaffold} cannot go on from the steps of another trajectory")
    parent = await read_parent(store, fork, grant.rollout.task.digest, scaffold.version)
    steps = tuple(parent.steps[: fork.step + 1])
    if len(await readable_prefix(store, steps)) <= fork.step:
        raise InfraFailure(f"trajectory {fork.trajectory_id} has lost the checkpoints before step {fork.step}")
    return Start(tuple(taken_over(step, parent.rollout.rollout_id, parent.attempt) for step in steps))


def _kept_anyway(grant: ClaimReply) -> int:
    fork = grant.rollout.forked_from if grant.rollout else None
    return fork.step + 1 if fork else 0
