"""Writing the catalogue's rows again, from what the artifact store has of them."""

from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import orjson
from psycopg import sql

from synthbench.collector.adapters.change_log import segments_from
from synthbench.collector.adapters.steps import DatedAttempt, insert_step
from synthbench.collector.adapters.trajectories import insert_names
from synthbench.contracts.records import ArtifactRef
from synthbench.contracts.steps import Step
from synthbench.storage.database import Connection, Database
from synthbench.storage.queries import Queries

_SQL = Queries.load("synthbench.collector.adapters", "rebuilding.sql")
_ROWS_AT_ONCE = 1000


class UnreadTrajectory(NamedTuple):
    """A trajectory's row without the rows that are made of its content."""

    trajectory_id: UUID
    stored_at: datetime
    artifact: ArtifactRef
    attempt: DatedAttempt
    hot: bool
    """Whether its steps are young enough to be kept in Postgres."""


class RebuildStore:
    """Inserts rows that are missing; those that are there stay. Nothing that it changes is archived again."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def insert_rows(self, rows_by_table: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, int]:
        """Insert rows as segments have them, in one transaction; return by table how many were missing."""
        inserted = dict.fromkeys(rows_by_table, 0)
        async with self._transaction() as connection:
            for table, rows in rows_by_table.items():
                for start in range(0, len(rows), _ROWS_AT_ONCE):
                    inserted[table] += await _insert(connection, table, rows[start : start + _ROWS_AT_ONCE])
        return inserted

    async def next_segment_after(self, number: int) -> None:
        """Let the next segment have a higher number than this one."""
        async with self._database.connection() as connection:
            await segments_from(connection, number)

    async def unread(self, after: UnreadTrajectory | None, hot_days: float, limit: int) -> list[UnreadTrajectory]:
        """Trajectories of whose content the tables know nothing yet, newest first, from behind one on."""
        place = {
            "stored_at": after.stored_at if after else "infinity",
            "trajectory_id": after.trajectory_id if after else UUID(int=0),
        }
        async with self._database.connection() as connection:
            rows = await connection.execute(_SQL["unread"], {**place, "days": hot_days, "limit": limit})
            return [_unread(row) for row in await rows.fetchall()]

    async def insert_steps(self, attempt: DatedAttempt, steps: Iterable[Step]) -> None:
        """Insert steps of a stored trajectory."""
        async with self._transaction() as connection:
            await connection.execute(_SQL["make_partition"], {"parent": "steps", "moment": attempt.attempt_at})
            for step in steps:
                await insert_step(connection, attempt, step)

    async def insert_contents(self, trajectory: UnreadTrajectory, words: str, uris: Iterable[str]) -> None:
        """Insert what is searched and named; the trajectory is not unread any more."""
        dated = {"trajectory_id": trajectory.trajectory_id, "stored_at": trajectory.stored_at, "words": words}
        async with self._transaction() as connection:
            await connection.execute(_SQL["insert_dated_words"], dated)
            await insert_names(connection, trajectory.trajectory_id, uris)

    @asynccontextmanager
    async def _transaction(self) -> AsyncGenerator[Connection]:
        """A transaction whose changes are not written into the artifact store: they come from there."""
        async with self._database.connection() as connection:
            await connection.execute(_SQL["changes_are_archived"])
            yield connection


def _unread(row: Mapping[str, Any]) -> UnreadTrajectory:
    return UnreadTrajectory(
        row["trajectory_id"],
        row["stored_at"],
        ArtifactRef.model_validate(row["artifact"]),
        DatedAttempt(row["rollout_id"], row["attempt"], row["submission_id"], row["attempt_at"]),
        row["hot"],
    )


async def _insert(connection: Connection, table: str, rows: Sequence[Mapping[str, Any]]) -> int:
    """Insert rows of a table as segments have them; return how many were missing.

    A column that a later migration added gets its default; one that it took away is passed over.
    """
    columns = await (await connection.execute(_SQL["columns_of"], {"table": table})).fetchall()
    existing = [column["name"] for column in columns]
    by_columns: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
    for row in rows:
        by_columns.setdefault(tuple(name for name in existing if name in row), []).append(row)
    count = 0
    for names, same_columns in by_columns.items():
        query = sql.SQL(
            "insert into {table} ({names}) select {names} from jsonb_populate_recordset(null::{table}, %s::jsonb) "
            "on conflict do nothing"
        ).format(table=sql.Identifier(table), names=sql.SQL(", ").join(map(sql.Identifier, names)))
        count += (await connection.execute(query, [orjson.dumps(same_columns).decode()])).rowcount
    return count
