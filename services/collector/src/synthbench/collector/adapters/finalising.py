"""Attempts that are closed and not stored yet: who works on them, which steps they have, and how they are recorded."""

from collections.abc import AsyncGenerator, Collection, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from functools import cached_property
from typing import Any
from uuid import UUID

from synthbench.collector.adapters.steps import DatedAttempt, SetAside, attempt_arrays, insert_step, set_aside
from synthbench.collector.adapters.trajectories import (
    TrajectoryEntry,
    apply_early_verdicts,
    insert_contents,
    insert_trajectory,
)
from synthbench.collector.domain.step_batch import AttemptKey
from synthbench.contracts.events import AttemptClosed, AttemptStarted, TrajectoryDone
from synthbench.contracts.ids import derived_id
from synthbench.contracts.steps import Step
from synthbench.storage.database import Connection, Database
from synthbench.storage.outbox import Outbox
from synthbench.storage.queries import Queries

_SQL = Queries.load("synthbench.collector.adapters", "finalising.sql")


class ClosedAttempt:
    """A closed attempt that this process alone works on; its connection is in no transaction."""

    def __init__(self, key: AttemptKey, row: Mapping[str, Any], connection: Connection, outbox: Outbox) -> None:
        self.key = key
        self.created_at: datetime = row["created_at"]
        """Dates its steps."""
        self.waited_seconds: float = row["waited"]
        """Since it was closed."""
        self.trace: Mapping[str, str] | None = row["trace"] or None
        """W3C trace context of its closing."""
        self._row = row
        self._connection = connection
        self._outbox = outbox

    @cached_property
    def closed(self) -> AttemptClosed:
        """The event that closed it."""
        return AttemptClosed.model_validate_json(self._row["closed"])

    @cached_property
    def started(self) -> AttemptStarted | None:
        """The executor's first report, where one came."""
        return AttemptStarted.model_validate_json(self._row["started"]) if self._row["started"] else None

    @property
    def _scope(self) -> dict[str, Any]:
        return {"rollout_id": self.key[0], "attempt": self.key[1], "attempt_at": self.created_at}

    async def step_digests(self) -> dict[int, str]:
        """Digests of the stored steps, by index."""
        rows = await (await self._connection.execute(_SQL["digests_of"], self._scope)).fetchall()
        return {row["index"]: row["digest"] for row in rows}

    async def step_texts(self, start: int, stop: int) -> dict[int, str]:
        """The stored steps from `start` to before `stop` as JSON, by index."""
        wanted = {**self._scope, "start": start, "stop": stop}
        rows = await (await self._connection.execute(_SQL["steps_between"], wanted)).fetchall()
        return {row["index"]: row["body"] for row in rows}

    async def record(
        self,
        entry: TrajectoryEntry,
        digests: Mapping[int, str],
        journalled: Iterable[Step],
        announcement: TrajectoryDone | None,
    ) -> bool:
        """Record in one transaction that its trajectory is stored, and announce it where it counts.

        Args:
            entry: of the trajectory, whose file was read back.
            digests: of the stored steps, as they were when the trajectory was assembled.
            journalled: steps of the trajectory that only the journal has.
            announcement: the event; None for an attempt that does not count.

        Returns:
            False if a step came in the meantime: the trajectory has to be assembled again.
        """
        async with self._connection.transaction():
            if await (await self._connection.execute(_SQL["lock_closing"], self._scope)).fetchone() is None:
                return False
            if await self.step_digests() != digests:
                return False
            dated = DatedAttempt(*self.key, self._row["submission_id"], self.created_at)
            for step in journalled:
                await insert_step(self._connection, dated, step)
            inserted = await insert_trajectory(self._connection, entry)
            await self._connection.execute(_SQL["attempt_stored"], self._scope)
            if inserted:
                await insert_contents(self._connection, entry)
                await apply_early_verdicts(self._connection, entry.trajectory.trajectory_id)
                if announcement is not None:
                    event_id = derived_id("trajectory.done", *self.key)
                    await self._outbox.add(self._connection, announcement, id=event_id)
        return True


class FinalisingStore:
    """Hands out closed attempts, each to one process at a time."""

    def __init__(self, database: Database, outbox: Outbox) -> None:
        self._database = database
        self._outbox = outbox

    @asynccontextmanager
    async def claim(self, passed_over: Collection[AttemptKey]) -> AsyncGenerator[ClosedAttempt | None]:
        """Claim the attempt that was closed first, until the block ends; None if there is none.

        A session's advisory lock is the claim. It holds no transaction open, and ends with the process.

        Args:
            passed_over: attempts that are not looked at.
        """
        while True:
            async with self._database.session() as connection:
                cursor = await connection.execute(_SQL["claim_closing"], attempt_arrays(passed_over))
                found = await cursor.fetchone()
                if found is None:
                    yield None
                    return
                row = await (await connection.execute(_SQL["closing_attempt"], found)).fetchone()
                if row is not None:  # else another process stored it just before
                    key = (found["rollout_id"], found["attempt"])
                    yield ClosedAttempt(key, row, connection, self._outbox)
                    return

    async def journals_to_clear(
        self, attempts: Collection[AttemptKey], stored_seconds: float, lost_seconds: float
    ) -> list[AttemptKey]:
        """Return the attempts whose journal no later attempt will resume from.

        Args:
            attempts: that have a journal.
            stored_seconds: for so long at least their trajectory is stored.
            lost_seconds: after so long without another attempt none is expected any more.
        """
        wanted = {**attempt_arrays(attempts), "seconds": stored_seconds, "kept": lost_seconds}
        async with self._database.connection() as connection:
            rows = await (await connection.execute(_SQL["journals_to_clear"], wanted)).fetchall()
        return [(row["rollout_id"], row["attempt"]) for row in rows]

    async def attempts_over(self, rollout_id: UUID) -> list[int]:
        """All stored attempts of a rollout, once its last one is stored; else none."""
        async with self._database.connection() as connection:
            rows = await (await connection.execute(_SQL["attempts_over"], {"rollout_id": rollout_id})).fetchall()
        return [row["attempt"] for row in rows]

    async def has_step(self, attempt: AttemptKey, index: int, digest: str) -> bool:
        """Whether a step with this digest is stored."""
        key = {"rollout_id": attempt[0], "attempt": attempt[1], "index": index}
        async with self._database.connection() as connection:
            row = await (await connection.execute(_SQL["digest_of_step"], key)).fetchone()
        return row is not None and row["digest"] == digest

    async def set_aside(self, row: SetAside) -> None:
        """Keep beside the record what contradicts it; what is there stays."""
        async with self._database.connection() as connection:
            await set_aside(connection, [row])
