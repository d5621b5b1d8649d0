"""The tables `steps` and `steps_aside`, and the rows of `attempts` that a step needs."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from synthbench.chassis.failpoints import failpoint
from synthbench.collector.domain.step_batch import (
    AttemptKey,
    ReceivedStep,
    RejectedStep,
    StepBatch,
    StepKey,
    contradictions,
)
from synthbench.contracts.steps import Step
from synthbench.storage.database import Connection, Database
from synthbench.storage.queries import Queries

_SQL = Queries.load("synthbench.collector.adapters", "steps.sql")


class StepStore:
    """Writes the steps that the bus brings."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def write(self, batch: StepBatch) -> None:
        """Store the steps of a batch that are not stored yet; what is rejected goes into `steps_aside`.

        A step is rejected where its digest does not hold, where another content is stored under its key, or where its
        attempt's trajectory is stored already.
        """
        uncertain, rejected = list(batch.conflicting), list(batch.rejected)
        async with self._database.connection() as connection:
            attempts = await _lock(connection, batch.steps)
            wanted: list[tuple[datetime, ReceivedStep]] = []
            for key, attempt in sorted(attempts.items()):
                if attempt.stored:
                    uncertain += batch.steps[key].values()
                else:
                    wanted += [(attempt.created_at, step) for _, step in sorted(batch.steps[key].items())]
            if await _copy(connection, wanted) < len(wanted):
                uncertain += [step for _, step in wanted]
            rejected += contradictions(uncertain, await _stored_digests(connection, uncertain, attempts))
            if rejected:
                await set_aside(connection, map(_aside, rejected))


class _Attempt(NamedTuple):
    created_at: datetime
    """Dates its steps, which are partitioned by it."""
    stored: bool
    """Its trajectory is stored already: an executor that lost its lease still sends."""


async def _lock(
    connection: Connection, attempts: Mapping[AttemptKey, Mapping[int, ReceivedStep]]
) -> dict[AttemptKey, _Attempt]:
    """Lock the rows of attempts until the transaction ends, and insert those that no event announced so far.

    The finaliser assembles no attempt whose row is locked.
    """
    missing = {key: next(iter(steps.values())).event for key, steps in attempts.items()}
    found: dict[AttemptKey, _Attempt] = {}
    while missing:
        for row in await (await connection.execute(_SQL["lock_attempts"], attempt_arrays(missing))).fetchall():
            key = (row["rollout_id"], row["attempt"])
            del missing[key]
            found[key] = _Attempt(row["created_at"], row["state"] == "stored")
        if missing:
            submissions = [event.submission_id for event in missing.values()]
            campaigns = [event.campaign for event in missing.values()]
            rows = {**attempt_arrays(missing), "submissions": submissions, "campaigns": campaigns}
            await connection.execute(_SQL["insert_attempts"], rows)
    return found


async def _copy(connection: Connection, steps: Sequence[tuple[datetime, ReceivedStep]]) -> int:
    """Insert the steps whose keys are free; return their number."""
    if not steps:
        return 0
    cursor = connection.cursor()
    await cursor.execute(_SQL["make_incoming"])
    async with cursor.copy(_SQL["copy_incoming"]) as copy:
        for attempt_at, step in steps:
            event = step.event
            await copy.write_row((attempt_at, *step.key, event.submission_id, event.step.digest, step.text.decode()))
    failpoint("collector.steps")
    await cursor.execute(_SQL["take_incoming"])
    return cursor.rowcount


async def _stored_digests(
    connection: Connection, steps: Sequence[ReceivedStep], attempts: Mapping[AttemptKey, _Attempt]
) -> dict[StepKey, str]:
    if not steps:
        return {}
    keys = [step.key for step in steps]
    rollouts, numbers, indices = map(list, zip(*keys, strict=True))
    dates = [attempts[key[:2]].created_at for key in keys]
    wanted = {"dates": dates, "rollouts": rollouts, "attempts": numbers, "indices": indices}
    rows = await (await connection.execute(_SQL["digests_of_steps"], wanted)).fetchall()
    return {(row["rollout_id"], row["attempt"], row["index"]): row["digest"] for row in rows}


class DatedAttempt(NamedTuple):
    """The columns that a row of `steps` has of its attempt."""

    rollout_id: UUID
    attempt: int
    submission_id: UUID
    attempt_at: datetime
    """`created_at` of the attempt."""


async def insert_step(connection: Connection, attempt: DatedAttempt, step: Step) -> None:
    """Insert one step; one that is stored already stays as it is."""
    row = {**attempt._asdict(), "index": step.index, "digest": step.digest, "body": step.to_json().decode()}
    await connection.execute(_SQL["insert_step"], row)


@dataclass(frozen=True)
class SetAside:
    """A row of `steps_aside`: what contradicts the record, and is kept beside it."""

    rollout_id: UUID
    attempt: int
    index: int
    digest: str
    body: str
    reason: str


async def set_aside(connection: Connection, rows: Iterable[SetAside]) -> None:
    """Insert rows into `steps_aside`; those that are there stay."""
    await connection.cursor().executemany(_SQL["set_aside"], [vars(row) for row in rows])


def _aside(rejected: RejectedStep) -> SetAside:
    event = rejected.event
    step = event.step
    return SetAside(event.rollout_id, event.attempt, step.index, step.digest, step.model_dump_json(), rejected.reason)


def attempt_arrays(attempts: Iterable[AttemptKey]) -> dict[str, list[Any]]:
    """Keys of attempts as the parameters `rollouts` and `attempts` of a statement."""
    keys = list(attempts)
    return {"rollouts": [key[0] for key in keys], "attempts": [key[1] for key in keys]}
