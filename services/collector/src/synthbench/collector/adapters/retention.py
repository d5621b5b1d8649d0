"""Deleting what is old from the catalogue, holding what must stay, and the report on what lies where."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from psycopg import sql

from synthbench.storage.database import Connection, Database
from synthbench.storage.queries import Queries

_SQL = Queries.load("synthbench.collector.adapters", "retention.sql")


class RetentionStore:
    """Statements that delete, one replica at a time."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def drop_cold_weeks(self, hot_days: float) -> int:
        """Make the partitions of the coming weeks, and drop steps older than `hot_days`, a week's partition at a time.

        Returns:
            How many weeks were dropped; 0 while another replica does it. A week with an attempt that is not stored
            yet stays.
        """
        dropped = 0
        async with self._locked() as connection:
            if connection is None:
                return 0
            await connection.execute(_SQL["make_partitions"])
            for partition in await (await connection.execute(_SQL["partitions"])).fetchall():
                if _is_cold(partition, hot_days) and not partition["unfinished"]:
                    await connection.execute(sql.SQL("drop table {}").format(sql.Identifier(partition["name"])))
                    dropped += 1
            await connection.execute(_SQL["delete_cold_steps"], {"days": hot_days})
        return dropped

    async def expire_failed(self, days: float, limit: int) -> int:
        """Delete some trajectories that do not count and are older than `days`; of each its attempt's state stays.

        Trajectories that somebody holds, or that another one was forked from, stay.

        Returns:
            How many were deleted, at most `limit`; 0 while another replica does it.
        """
        async with self._locked() as connection:
            if connection is None:
                return 0
            rows = await (await connection.execute(_SQL["expirable"], {"days": days, "limit": limit})).fetchall()
            for row in rows:
                await connection.execute(_SQL["expire_steps"], row)
                await connection.execute(_SQL["attempt_expired"], row)
            identities = {"trajectory_ids": [row["trajectory_id"] for row in rows]}
            for table in ("verdicts", "words", "names", "trajectories"):
                await connection.execute(_SQL[f"expire_{table}"], identities)
        return len(rows)

    async def report(self, hot_days: float, failed_days: float | None) -> dict[str, Any]:
        """Bytes and rows by table and week of steps, stored trajectories, and what the next sweep would delete.

        Args:
            hot_days: as in `drop_cold_weeks`.
            failed_days: as `days` in `expire_failed`; None where nothing expires.
        """
        async with self._database.connection() as connection:
            tables = await (await connection.execute(_SQL["tables"])).fetchall()
            weeks = await (await connection.execute(_SQL["partitions"])).fetchall()
            stored = await (await connection.execute(_SQL["stored_bytes"])).fetchall()
            expirable = {"count": 0, "bytes": 0}
            if failed_days is not None:
                cursor = await connection.execute(_SQL["count_expirable"], {"days": failed_days})
                expirable = await cursor.fetchone() or expirable
        return {
            "tables": tables,
            "weeks_of_steps": [{**week, "cold": _is_cold(week, hot_days)} for week in weeks],
            "trajectories": stored,
            "expirable": expirable,
        }

    async def hold(self, trajectory_id: UUID, holder: str) -> bool:
        """Keep a trajectory from expiring, for a holder; False if there is no such trajectory."""
        held = {"trajectory_id": trajectory_id, "holder": holder}
        async with self._database.connection() as connection:
            if await (await connection.execute(_SQL["trajectory_exists"], held)).fetchone() is None:
                return False
            await connection.execute(_SQL["hold"], held)
        return True

    async def release(self, trajectory_id: UUID, holder: str) -> bool:
        """End a holder's hold; False if there was none."""
        async with self._database.connection() as connection:
            cursor = await connection.execute(_SQL["release"], {"trajectory_id": trajectory_id, "holder": holder})
        return bool(cursor.rowcount)

    @asynccontextmanager
    async def _locked(self) -> AsyncGenerator[Connection | None]:
        """A transaction that deletes; None while another replica has one."""
        async with self._database.connection() as connection:
            row = await (await connection.execute(_SQL["lock_retention"])).fetchone()
            yield connection if row and row["locked"] else None


def _is_cold(partition: Mapping[str, Any], hot_days: float) -> bool:
    ends: datetime | None = partition["ends"]
    return ends is not None and ends < datetime.now(UTC) - timedelta(days=hot_days)
