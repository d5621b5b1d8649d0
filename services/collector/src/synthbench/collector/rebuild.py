"""The catalogue made again, from what lies in the artifact store: its segments, and the stored trajectories."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import orjson
from psycopg import sql

from synthbench.collector.domain.assembly import Tally, searched
from synthbench.collector.handlers import SQL
from synthbench.contracts.naming import artifacts_of
from synthbench.contracts.records import ArtifactRef
from synthbench.storage.artifacts import ArtifactStore
from synthbench.storage.database import Connection, Database
from synthbench.storage.errors import ArtifactCorrupt, ArtifactNotFound
from synthbench.storage.segments import read_segment, segment_numbers
from synthbench.storage.trajectories import StoredTrajectory

_KEYS: Mapping[str, Sequence[str]] = {
    "submissions": ("submission_id",),
    "attempts": ("rollout_id", "attempt"),
    "steps_aside": ("rollout_id", "attempt", "index", "digest"),
    "trajectories": ("trajectory_id",),
    "verdicts": ("trajectory_id", "kind"),
    "llm_calls": ("call_id",),
    "held": ("trajectory_id", "holder"),
}
"""The tables whose rows the segments have, each with what names a row."""
_AT_ONCE = 1000
Progress = dict[str, Any]


class Rebuild:
    """Reads the newest segments first: what is there already, in the tables or of a newer segment, stays.

    It may run at any time, on a catalogue in use, and again after it was broken off. An object is for one run.

    Args:
        database: the catalogue; its tables are there, empty or not.
        store: what lies there is the source.
        hot_step_days: steps of older attempts stay in their trajectories alone.
    """

    def __init__(self, database: Database, store: ArtifactStore, hot_step_days: float) -> None:
        self._database = database
        self._store = store
        self._hot_step_days = hot_step_days
        self._rows = dict.fromkeys(_KEYS, 0)
        self._gone: set[tuple[str, str]] = set()

    async def run(self) -> AsyncGenerator[Progress]:
        """Do it; yield how far it is, and at the end `{"done": true, …}`.

        Raises:
            ArtifactStoreUnavailable, DatabaseUnavailable: as they do; what is done stays.
        """
        segments = await segment_numbers(self._store)
        for done, number in enumerate(reversed(segments), 1):
            await self._segment(number)
            yield {"segments": done, "of": len(segments), "rows": dict(self._rows)}
        if segments:
            async with self._database.connection() as connection:
                await connection.execute(SQL["segments_from"], {"number": segments[-1]})
        read, unreadable = 0, list[str]()
        place: Mapping[str, Any] = {"stored_at": "infinity", "trajectory_id": UUID(int=0)}
        while found := await self._unread(place):
            place = found[-1]
            for entry in found:
                read += 1
                if problem := await self._trajectory(entry):
                    unreadable.append(f"trajectory {entry['trajectory_id']}: {problem}")
            yield {"trajectories": read, "unreadable": len(unreadable)}
        yield {"done": True, "rows": self._rows, "trajectories": read, "unreadable": unreadable[:100]}

    async def _segment(self, number: int) -> None:
        wanted: dict[str, list[Any]] = {table: [] for table in _KEYS}
        for change in reversed(await read_segment(self._store, number)):
            if change.table not in _KEYS:  # a later release has no such table
                continue
            name = (change.table, orjson.dumps([change.row[column] for column in _KEYS[change.table]]).decode())
            if change.gone:
                self._gone.add(name)
            elif name not in self._gone:
                wanted[change.table].append(change.row)
        async with self._connection() as connection:
            for table, rows in wanted.items():
                for start in range(0, len(rows), _AT_ONCE):
                    self._rows[table] += await _insert(connection, table, rows[start : start + _AT_ONCE])

    async def _unread(self, place: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Trajectories of whose content the tables know nothing yet, newest first, behind a place."""
        behind = {"stored_at": place["stored_at"], "trajectory_id": place["trajectory_id"]}
        async with self._database.connection() as connection:
            wanted = {**behind, "days": self._hot_step_days, "limit": 100}
            rows = await connection.execute(SQL["unread"], wanted)
            return await rows.fetchall()

    async def _trajectory(self, entry: Mapping[str, Any]) -> str:
        """Its words, what it names, and its steps, as far as they are kept hot; what is wrong with it otherwise."""
        tally, names = Tally(), {entry["artifact"]["uri"]}
        words, problem = "", ""
        async with self._connection() as connection:
            try:
                stored = await StoredTrajectory.open(self._store, ArtifactRef.model_validate(entry["artifact"]))
                header = await stored.header()
                names |= {reference.uri for reference in artifacts_of(header)}
                if entry["hot"]:
                    partition = {"parent": "steps", "moment": entry["attempt_at"]}
                    await connection.execute(SQL["make_partition"], partition)
                for chunk in stored.index.chunks:
                    for step in await stored.steps(chunk.first, chunk.first + chunk.steps):
                        tally.take(step)
                        names |= {reference.uri for reference in artifacts_of(step)}
                        if entry["hot"]:
                            text = step.to_json().decode()
                            row = {**entry, "index": step.index, "digest": step.digest, "body": text}
                            await connection.execute(SQL["insert_step"], row)
                words = searched(header, tally)
            except (ArtifactNotFound, ArtifactCorrupt) as error:
                problem = str(error)
            identity = {"trajectory_id": entry["trajectory_id"]}
            dated = {**identity, "stored_at": entry["stored_at"], "words": words}
            await connection.execute(SQL["insert_dated_words"], dated)
            await connection.execute(SQL["insert_names"], {**identity, "uris": sorted(names)})
        return problem

    @asynccontextmanager
    async def _connection(self) -> AsyncGenerator[Connection]:
        """A transaction whose changes are not written into the artifact store: they come from there."""
        async with self._database.connection() as connection:
            await connection.execute("set local synthbench.rebuilding = on")
            yield connection


async def _insert(connection: Connection, table: str, rows: Sequence[Mapping[str, Any]]) -> int:
    """Rows of a table as the segments have them; those that are there stay. Returns how many were not.

    What a later migration added gets its default, what it took away is passed over.
    """
    columns = await (await connection.execute(SQL["columns_of"], {"table": table})).fetchall()
    there = [column["name"] for column in columns]
    alike: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
    for row in rows:
        alike.setdefault(tuple(name for name in there if name in row), []).append(row)
    count = 0
    for names, some in alike.items():
        query = sql.SQL(
            "insert into {table} ({names}) select {names} from jsonb_populate_recordset(null::{table}, %s::jsonb) "
            "on conflict do nothing"
        ).format(table=sql.Identifier(table), names=sql.SQL(", ").join(map(sql.Identifier, names)))
        count += (await connection.execute(query, [orjson.dumps(some).decode()])).rowcount
    return count
