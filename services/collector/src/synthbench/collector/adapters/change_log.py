"""The table `unarchived`: changes of the catalogue's tables, written by triggers, that await the artifact store."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

from synthbench.storage.database import Connection, Database
from synthbench.storage.queries import Queries

_SQL = Queries.load("synthbench.collector.adapters", "change_log.sql")


class LoggedChange(NamedTuple):
    """One changed row."""

    seq: int
    """Its place in the order of changes."""
    table: str
    gone: bool
    """Whether the row was deleted."""
    row: str
    """The row as JSON: as it is after the change, or was before it was deleted."""


class LockedChangeLog:
    """The log while this process alone archives it; its connection is in no transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def oldest(self, limit: int) -> list[LoggedChange]:
        """The first changes in their order."""
        rows = await (await self._connection.execute(_SQL["oldest_changes"], {"most": limit})).fetchall()
        return [LoggedChange(row["seq"], row["tbl"], row["gone"], row["body"]) for row in rows]

    async def forget(self, changes: Sequence[LoggedChange]) -> None:
        """Delete changes that are archived."""
        await self._connection.execute(_SQL["forget_changes"], {"numbers": [change.seq for change in changes]})

    async def next_segment(self) -> int:
        """The number of the next segment; never the same one again."""
        row = await (await self._connection.execute(_SQL["next_segment"])).fetchone()
        assert row is not None
        return row["number"]

    async def segments_from(self, number: int) -> None:
        """Let the next segment have a higher number than this one."""
        await segments_from(self._connection, number)


class ChangeLog:
    """Counts the changes that wait, and hands them out to one process at a time."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def waiting(self, most: int) -> int:
        """Count the changes that are not archived yet, up to `most`."""
        async with self._database.connection() as connection:
            row = await (await connection.execute(_SQL["changes_waiting"], {"most": most})).fetchone()
        return row["waiting"] if row else 0

    @asynccontextmanager
    async def locked(self) -> AsyncGenerator[LockedChangeLog | None]:
        """Keep other processes from archiving until the block ends; None if another one does it now."""
        async with self._database.session() as connection:
            row = await (await connection.execute(_SQL["lock_change_log"])).fetchone()
            yield LockedChangeLog(connection) if row and row["locked"] else None


async def segments_from(connection: Connection, number: int) -> None:
    """Let the next segment have a higher number than this one."""
    await connection.execute(_SQL["segments_from"], {"number": number})
