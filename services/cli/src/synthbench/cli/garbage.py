"""What lies in the artifact store, is old, and is named by nothing: neither database, nor bus, nor any record."""

import asyncio
import re
from collections.abc import AsyncGenerator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, LiteralString

import psycopg
from nats.js.errors import NotFoundError
from psycopg import sql
from psycopg.rows import DictRow

from synthbench.cli import console
from synthbench.cli.errors import CliError
from synthbench.cli.operator import Operator
from synthbench.contracts.streams import streams
from synthbench.storage.artifacts import StoredBody, key_uri
from synthbench.storage.errors import ArtifactNotFound
from synthbench.storage.schemas import installed_schemas
from synthbench.storage.segments import read_segment, segment_numbers

LEAST_DAYS = 2.0
"""Putting what is there makes it young again a day late at most, and attempts take less than the other day."""
LOCK = 0x47433031
"""Of an advisory lock: a backup shares it, a collection has it alone."""
_NAMED = re.compile(rb"sha256[:/]([0-9a-f]{64})")
_AT_ONCE = 500
_REQUESTS = 64
_ELSEWHERE: dict[tuple[str, str], LiteralString] = {
    ("catalogue", "trajectory_words"): "false",
    ("catalogue", "unarchived"): "false",
    ("catalogue", "names"): "false",
    ("catalogue", "trajectories"): "false",
    ("catalogue", "attempts"): "t.expired_at is null",
    ("catalogue", "steps"): "exists (select 1 from catalogue.attempts a where a.rollout_id = t.rollout_id "
    "and a.attempt = t.attempt and a.state <> 'stored')",
}
"""Which rows of these tables count; what stored trajectories name, in whatever step, is in `names` anyway."""


class Garbage:
    """One look at a stack.

    Args:
        operator: who looks.
        connection: to its database, with a dict for each row; it keeps a temporary table.
        days: how long ago something was put, at least.
    """

    def __init__(self, operator: Operator, connection: psycopg.AsyncConnection[DictRow], days: float) -> None:
        if days < LEAST_DAYS:
            raise CliError(f"--days: at least {LEAST_DAYS:g}: younger ones may be needed by what is under way")
        self._operator = operator
        self._connection = connection
        self._before = datetime.now(UTC) - timedelta(days=days)

    async def mark(self) -> None:
        """Look at everything that may name an artifact.

        Raises:
            CliError: the catalogue does not know all that is stored, or somebody else is collecting.
        """
        row = await self._row("select pg_try_advisory_lock(%s) as mine", [LOCK])
        if not row["mine"]:
            raise CliError("a backup or another collection is under way")
        await self._see_that_all_is_known()
        await self._connection.execute("create temporary table marked (hex text primary key)")
        for schema, table, columns in await self._tables():
            await self._mark_table(schema, table, columns)
        console.say("what the tables name is marked")
        await self._mark_keys()
        await self._mark_bus()

    async def found(self) -> AsyncGenerator[StoredBody]:
        """What nothing names, and nobody put for so long."""
        batch: list[StoredBody] = []
        async for body in self._operator.store.bodies():
            if body.modified < self._before:
                batch.append(body)
            if len(batch) == _AT_ONCE:
                for one in await self._unnamed(batch):
                    yield one
                batch = []
        for one in await self._unnamed(batch):
            yield one

    async def delete(self, bodies: Sequence[StoredBody]) -> list[StoredBody]:
        """Delete those that nobody put, and nothing names, even now; return which these were."""
        gone: list[StoredBody] = []
        for body in await self._unnamed(bodies):
            now = await self._operator.store.body(body.uri)
            if now is not None and now.modified < self._before:
                await self._operator.store.delete(body.uri)
                gone.append(body)
        return gone

    async def _row(self, query: str, parameters: Sequence[Any] = ()) -> DictRow:
        row = await (await self._connection.execute(query.encode(), parameters)).fetchone()
        assert row is not None
        return row

    async def _see_that_all_is_known(self) -> None:
        """Else what an emptied catalogue has forgotten would look like garbage."""
        mend = "run `synth-bench rebuild catalogue` first"
        row = await self._row(
            "select count(*) as unread from catalogue.trajectories t "
            "where not exists (select 1 from catalogue.names n where n.trajectory_id = t.trajectory_id)"
        )
        if row["unread"]:
            raise CliError(f"of {row['unread']} trajectories it is not known what they name; {mend}")
        store, decided = self._operator.store, set[str]()
        for number in reversed(await segment_numbers(store)):
            stored = list[str]()
            for change in reversed(await read_segment(store, number)):
                if change.table == "trajectories" and (identity := change.row["trajectory_id"]) not in decided:
                    decided.add(identity)
                    if not change.gone:
                        stored.append(identity)
            row = await self._row(
                "select count(*) as unknown from unnest(%s::uuid[]) as s (trajectory_id) where not exists "
                "(select 1 from catalogue.trajectories t where t.trajectory_id = s.trajectory_id)", [stored],
            )  # fmt: skip
            if row["unknown"]:
                raise CliError(f"the artifact store has trajectories that the catalogue does not know; {mend}")

    async def _tables(self) -> list[tuple[str, str, list[str]]]:
        """Each with its columns of bytes."""
        rows = await self._connection.execute(
            "select n.nspname as schema, c.relname as name, coalesce((select array_agg(a.attname::text) "
            "from pg_attribute a where a.attrelid = c.oid and a.atttypid = 'bytea'::regtype and a.attnum > 0 "
            "and not a.attisdropped), '{}') as columns "
            "from pg_class c join pg_namespace n on n.oid = c.relnamespace "
            "where n.nspname = any(%s) and c.relkind in ('r', 'p') and not c.relispartition order by 1, 2",
            [[schema for schema, _ in installed_schemas()]],
        )
        return [(row["schema"], row["name"], row["columns"]) for row in await rows.fetchall()]

    async def _mark_table(self, schema: str, table: str, columns: Sequence[str]) -> None:
        texts = [sql.SQL("t::text"), *(sql.SQL("encode(t.{}, 'escape')").format(sql.Identifier(c)) for c in columns)]
        query = sql.SQL(
            "insert into marked select m[1] from {} t, "
            "regexp_matches(concat_ws(' ', {}), 'sha256[:/]([0-9a-f]{{64}})', 'g') m where {} on conflict do nothing"
        )
        which = sql.SQL(_ELSEWHERE.get((schema, table), "true"))
        await self._connection.execute(query.format(sql.Identifier(schema, table), sql.SQL(", ").join(texts), which))

    async def _mark_keys(self) -> None:
        """Journals, recordings, verifications, whatever else has a name; segments repeat what the tables have."""
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
            if count % 5000 == 0:
                console.say(f"{count} records read")
        await self._mark(found)

    async def _mark_bus(self) -> None:
        for stream in (spec.name for spec in streams(self._operator.clients, self._operator.pools)):
            state = (await self._operator.bus.js.stream_info(stream)).state
            numbers = range(max(1, state.first_seq), state.last_seq + 1) if state.messages else range(0)
            for start in range(0, len(numbers), _REQUESTS):
                some = numbers[start : start + _REQUESTS]
                texts = await asyncio.gather(*(self._message(stream, number) for number in some))
                await self._mark({hexadecimal for text in texts for hexadecimal in _hexes(text)})
                if start and start % (_REQUESTS * 500) == 0:
                    console.say(f"{start} of {len(numbers)} messages of {stream} read")

    async def _message(self, stream: str, number: int) -> bytes:
        try:
            raw = await self._operator.bus.js.get_msg(stream, number)
        except NotFoundError:
            return b""
        return (raw.data or b"") + repr(raw).encode()  # with its headers

    async def _mark(self, hexes: set[str]) -> None:
        if hexes:
            query = "insert into marked select unnest(%s::text[]) on conflict do nothing"
            await self._connection.execute(query, [sorted(hexes)])

    async def _unnamed(self, bodies: Sequence[StoredBody]) -> list[StoredBody]:
        wanted = [body.uri for body in bodies]
        rows = await self._connection.execute(
            "select u.uri from unnest(%s::text[]) as u (uri) "
            "where not exists (select 1 from catalogue.names n where n.uri = u.uri) "
            "and not exists (select 1 from marked m where m.hex = right(u.uri, 64))", [wanted],
        )  # fmt: skip
        left = {row["uri"] for row in await rows.fetchall()}
        return [body for body in bodies if body.uri in left]


def _hexes(text: bytes) -> set[str]:
    return {match.decode() for match in _NAMED.findall(text)}
