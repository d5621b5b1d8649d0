"""Garbage collection in the artifact store: bodies that are old and that no table, bus message or record names.

It reads every schema, as the auditor does, and deletes bodies of the artifact store alone.
"""

import asyncio
import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, LiteralString

import psycopg
from nats.js.errors import NotFoundError
from psycopg import sql
from psycopg.rows import DictRow

from synthbench.client.errors import CliError
from synthbench.client.waiting import Say, say_nothing
from synthbench.contracts.streams import streams
from synthbench.operations.operator import ARTIFACTS_LOCK, Operator
from synthbench.storage.artifacts import StoredBody, key_uri
from synthbench.storage.errors import ArtifactNotFound
from synthbench.storage.queries import Queries
from synthbench.storage.schemas import installed_schemas
from synthbench.storage.segments import read_segment, segment_numbers

LEAST_DAYS = 2.0
"""A body that is put again is young again within a day, and an attempt takes less than another one."""
_SQL = Queries.load("synthbench.operations", "garbage.sql")
_NAMED = re.compile(rb"sha256[:/]([0-9a-f]{64})")
_BATCH = 500
"""Bodies that are looked up together."""
_REQUESTS = 64
"""Messages of the bus that are read at once."""
_REPORT_RECORDS, _REPORT_MESSAGES = 5000, _REQUESTS * 500
_MEND = "run `synth-bench rebuild catalogue` first"
_NO_ROWS: LiteralString = "false"
_COUNTED_ROWS: Mapping[tuple[str, str], LiteralString] = {
    ("catalogue", "trajectory_words"): _NO_ROWS,
    ("catalogue", "unarchived"): _NO_ROWS,
    ("catalogue", "names"): _NO_ROWS,
    ("catalogue", "trajectories"): _NO_ROWS,
    ("catalogue", "attempts"): _SQL["rows_that_did_not_expire"],
    ("catalogue", "steps"): _SQL["rows_of_unfinished_attempts"],
}
"""Rows of tables that keep a body; those of other tables all do. What trajectories name is in `catalogue.names`."""


class Garbage:
    """One garbage collection.

    Args:
        operator: of the stack.
        connection: to its database, with a dict for each row; it holds a lock and a temporary table until its end.
        days: how long ago a body must have been put, at least.
        say: takes how far the collection is.

    Raises:
        CliError: the days are too few.
    """

    def __init__(
        self, operator: Operator, connection: psycopg.AsyncConnection[DictRow], days: float, say: Say = say_nothing
    ) -> None:
        if days < LEAST_DAYS:
            raise CliError(f"--days: at least {LEAST_DAYS:g}: younger ones may be needed by what is under way")
        self._say = say
        self._operator = operator
        self._connection = connection
        self._before = datetime.now(UTC) - timedelta(days=days)

    async def mark(self) -> None:
        """Read everything that may name a body.

        Raises:
            CliError: the catalogue does not know all that is stored, or a backup or a collection is under way.
        """
        row = await self._row("lock", {"lock": ARTIFACTS_LOCK})
        if not row["taken"]:
            raise CliError("a backup or another collection is under way")
        await self._connection.execute(_SQL["create_named"])
        await self._connection.execute(_SQL["read_only"])
        await self._require_whole_catalogue()
        schemas = [schema for schema, _ in installed_schemas()]
        tables = await self._connection.execute(_SQL["tables"], {"schemas": schemas})
        for row in await tables.fetchall():
            await self._mark_table(row["schema"], row["name"], row["columns"])
        self._say("what the tables name is marked")
        await self._mark_keys()
        await self._mark_bus()

    async def found(self) -> AsyncGenerator[StoredBody]:
        """Yield the bodies that nothing names, and that nobody put for so long; after `mark`."""
        batch: list[StoredBody] = []
        async for body in self._operator.store.bodies():
            if body.modified < self._before:
                batch.append(body)
            if len(batch) == _BATCH:
                for one in await self._unnamed(batch):
                    yield one
                batch = []
        for one in await self._unnamed(batch):
            yield one

    async def delete(self, bodies: Sequence[StoredBody]) -> list[StoredBody]:
        """Delete the bodies that even now nothing names and nobody put; return which these were."""
        gone: list[StoredBody] = []
        for body in await self._unnamed(bodies):
            now = await self._operator.store.body(body.uri)
            if now is not None and now.modified < self._before:
                await self._operator.store.delete(body.uri)
                gone.append(body)
        return gone

    async def _row(self, query: str, values: Mapping[str, Any] | None = None) -> DictRow:
        row = await (await self._connection.execute(_SQL[query], values)).fetchone()
        assert row is not None
        return row

    async def _require_whole_catalogue(self) -> None:
        """Check that the catalogue knows all stored trajectories: those that it forgot would look like garbage.

        Raises:
            CliError: it does not; with the cure.
        """
        row = await self._row("trajectories_without_names")
        if row["unread"]:
            raise CliError(f"of {row['unread']} trajectories it is not known what they name; {_MEND}")
        store, decided = self._operator.store, set[str]()
        for number in reversed(await segment_numbers(store)):
            stored = list[str]()
            for change in reversed(await read_segment(store, number)):
                if change.table == "trajectories" and (identity := change.row["trajectory_id"]) not in decided:
                    decided.add(identity)
                    if not change.gone:
                        stored.append(identity)
            row = await self._row("unknown_trajectories", {"trajectories": stored})
            if row["unknown"]:
                raise CliError(f"the artifact store has trajectories that the catalogue does not know; {_MEND}")

    async def _mark_table(self, schema: str, table: str, columns: Sequence[str]) -> None:
        texts = [sql.SQL("t::text"), *(sql.SQL("encode(t.{}, 'escape')").format(sql.Identifier(c)) for c in columns)]
        query = sql.SQL(_SQL["add_named_in_table"]).format(
            table=sql.Identifier(schema, table),
            texts=sql.SQL(", ").join(texts),
            rows=sql.SQL(_COUNTED_ROWS.get((schema, table), "true")),
        )
        await self._connection.execute(query)

    async def _mark_keys(self) -> None:
        """Read journals, recordings and all else with a key, but for segments, which repeat the tables."""
        found: set[str] = set()
        count = 0
        async for key in self._operator.store.list(""):
            if key.startswith("catalogue/"):
                continue
            try:
                found |= _hexes(await self._operator.store.get(key_uri(key)))
            except ArtifactNotFound:  # a journal that went meanwhile
                continue
            count += 1
            if count % _REPORT_RECORDS == 0:
                self._say(f"{count} records read")
        await self._mark(found)

    async def _mark_bus(self) -> None:
        """Read every message of every stream."""
        for stream in (spec.name for spec in streams(self._operator.clients, self._operator.pools)):
            state = (await self._operator.bus.js.stream_info(stream)).state
            numbers = range(max(1, state.first_seq), state.last_seq + 1) if state.messages else range(0)
            for start in range(0, len(numbers), _REQUESTS):
                some = numbers[start : start + _REQUESTS]
                texts = await asyncio.gather(*(self._message(stream, number) for number in some))
                await self._mark({hexadecimal for text in texts for hexadecimal in _hexes(text)})
                if start and start % _REPORT_MESSAGES == 0:
                    self._say(f"{start} of {len(numbers)} messages of {stream} read")

    async def _message(self, stream: str, number: int) -> bytes:
        try:
            raw = await self._operator.bus.js.get_msg(stream, number)
        except NotFoundError:
            return b""
        return (raw.data or b"") + repr(raw).encode()  # with its headers

    async def _mark(self, hexes: set[str]) -> None:
        if hexes:
            await self._connection.execute(_SQL["add_named"], {"hexes": sorted(hexes)})

    async def _unnamed(self, bodies: Sequence[StoredBody]) -> list[StoredBody]:
        uris = [body.uri for body in bodies]
        rows = await self._connection.execute(_SQL["unnamed"], {"uris": uris})
        left = {row["uri"] for row in await rows.fetchall()}
        return [body for body in bodies if body.uri in left]


def _hexes(text: bytes) -> set[str]:
    """Return the hexadecimal digests that a text names."""
    return {match.decode() for match in _NAMED.findall(text)}
