"""Stored trajectories and journals, read whole and compared with the tables."""

from collections.abc import AsyncGenerator, Iterable, Mapping
from typing import Any
from uuid import UUID

import psycopg

from synthbench.contracts.steps import step_digest
from synthbench.contracts.trajectory import Trajectory
from synthbench.operations.audit.findings import CULPRITS, RECORD, Finding
from synthbench.storage.artifacts import ArtifactStore
from synthbench.storage.errors import ArtifactCorrupt, ArtifactNotFound
from synthbench.storage.trajectories import read_trajectory


async def check_trajectories(connection: psycopg.AsyncConnection[Any], store: ArtifactStore) -> AsyncGenerator[Finding]:
    """Read every stored trajectory, and check each of its steps."""
    broken: list[str] = []
    unverified: list[str] = []
    calls: list[str] = []
    billed = await connection.execute(RECORD["billed_calls"])
    payers = {row["call_id"]: (row["rollout_id"], row["attempt"]) for row in await billed.fetchall()}
    rows = await connection.execute(RECORD["stored_trajectories"])
    count = 0
    async for row in rows:
        count += 1
        name = f"trajectory {row['trajectory_id']}"
        try:
            found = await read_trajectory(store, row["uri"])
        except (ArtifactNotFound, ArtifactCorrupt) as error:
            broken.append(f"{name}: {str(error).splitlines()[0]}")
            continue
        if (found.trajectory_id, found.rollout.rollout_id, found.attempt, len(found.steps)) != (
            row["trajectory_id"], row["rollout_id"], row["attempt"], row["steps"],
        ):  # fmt: skip
            broken.append(f"{name}: the catalogue's row is about something else")
        broken += [f"{name}: {problem}" for problem in _step_problems(found)]
        if found.imported is None and found.outcome.gradable and not found.incomplete and found.verification is None:
            unverified.append(f"{name}: {found.outcome} without a verification")
        calls += [f"{name} {problem}" for problem in _call_problems(found, payers)]
    yield Finding("every trajectory is whole and unaltered", broken[:CULPRITS], f"{count} read")
    yield Finding("every graded trajectory was verified", unverified[:CULPRITS])
    yield Finding("every model call of a step is in the ledger, of the attempt that made it", calls[:CULPRITS])


def _call_problems(found: Trajectory, payers: Mapping[UUID, tuple[UUID, int]]) -> Iterable[str]:
    """Yield the steps whose model call another attempt paid for; that of a copied step is paid by its origin."""
    for step in found.steps if found.imported is None else ():
        if step.model_call is None or step.model_call.call_id is None:
            continue
        origin = step.copied_from
        maker = (origin.rollout_id, origin.attempt) if origin else (found.rollout.rollout_id, found.attempt)
        payer = payers.get(step.model_call.call_id)
        if payer != maker:
            where = f"billed to rollout {payer[0]} attempt {payer[1]}" if payer else "not in the ledger"
            yield f"step {step.index}: call {step.model_call.call_id} is {where}"


def _step_problems(found: Trajectory) -> Iterable[str]:
    for position, step in enumerate(found.steps):
        if step.index != position:
            yield f"step {position} is missing"
        if step.digest != step_digest(step):
            yield f"step {position} does not match its digest"


async def check_journals(connection: psycopg.AsyncConnection[Any], store: ArtifactStore) -> AsyncGenerator[Finding]:
    """Look for journals that are left: each goes when its rollout's last trajectory is stored."""
    over = await connection.execute(RECORD["ended_rollouts"])
    rows = await connection.execute(RECORD["stored_attempts"])
    ended = {row["rollout"] for row in await over.fetchall()}
    stored = {row["attempt"] for row in await rows.fetchall()}
    journals = [key async for key in store.list("journal/") if "/".join(key.split("/")[1:3]) in stored]
    left = [key for key in journals if key.split("/")[1] in ended]
    kept = {"/".join(key.split("/")[1:3]) for key in journals if key not in left}
    yield Finding("no journal is left of a rollout that is over", left[:CULPRITS], f"{len(kept)} kept to resume from")
