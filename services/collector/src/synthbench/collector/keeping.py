"""What goes, and when: hot steps by the week, attempts that do not count as the policy says. Artifacts stay here."""

from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg import sql
from structlog.stdlib import BoundLogger

from synthbench.collector.handlers import SQL
from synthbench.collector.settings import CollectorSettings
from synthbench.storage.database import Connection, Database

_AT_ONCE = 200


class Keeping:
    """Makes room, and the partitions of the coming weeks; of several replicas one at a time."""

    def __init__(self, settings: CollectorSettings, database: Database, log: BoundLogger) -> None:
        self._settings = settings
        self._database = database
        self._log = log

    async def look(self) -> None:
        """Make room, and say so where there was anything to take away."""
        done = await self.sweep()
        if any(done.values()):
            self._log.info("made room", **done)

    async def sweep(self) -> dict[str, int]:
        """Do it once; return how many weeks of steps and how many trajectories went."""
        weeks = expired = 0
        async with self._database.connection() as connection:
            if not await _mine(connection):
                return {"weeks_of_steps": 0, "trajectories": 0}
            await connection.execute(SQL["make_partitions"])
            for partition in await (await connection.execute(SQL["partitions"])).fetchall():
                if self._cold(partition) and not partition["unfinished"]:
                    await connection.execute(sql.SQL("drop table {}").format(sql.Identifier(partition["name"])))
                    weeks += 1
            await connection.execute(SQL["cool_the_rest"], {"days": self._settings.hot_step_days})
        while some := await self._expire():
            expired += some
        return {"weeks_of_steps": weeks, "trajectories": expired}

    def _cold(self, partition: dict[str, Any]) -> bool:
        ends: datetime | None = partition["ends"]
        return ends is not None and ends < datetime.now(UTC) - timedelta(days=self._settings.hot_step_days)

    async def _expire(self) -> int:
        """Some of what does not count and is old: a state of each stays in `attempts`, nothing else."""
        if self._settings.failed_attempt_days is None:
            return 0
        async with self._database.connection() as connection:
            if not await _mine(connection):
                return 0
            wanted = {"days": self._settings.failed_attempt_days, "limit": _AT_ONCE}
            rows = await (await connection.execute(SQL["expirable"], wanted)).fetchall()
            for row in rows:
                await connection.execute(SQL["expire_steps"], row)
                await connection.execute(SQL["attempt_expired"], row)
            identities = {"trajectory_ids": [row["trajectory_id"] for row in rows]}
            for table in ("verdicts", "words", "names", "trajectories"):
                await connection.execute(SQL[f"expire_{table}"], identities)
        return len(rows)

    async def report(self) -> dict[str, Any]:
        """What lies where, and what the next sweep would take."""
        settings = self._settings
        async with self._database.connection() as connection:
            tables = await (await connection.execute(SQL["tables"])).fetchall()
            weeks = await (await connection.execute(SQL["partitions"])).fetchall()
            stored = await (await connection.execute(SQL["stored_bytes"])).fetchall()
            expirable = {"count": 0, "bytes": 0}
            if settings.failed_attempt_days is not None:
                wanted = {"days": settings.failed_attempt_days}
                expirable = await (await connection.execute(SQL["count_expirable"], wanted)).fetchone() or expirable
            waiting = await (await connection.execute(SQL["changes_waiting"], {"most": 1_000_000})).fetchone()
        return {
            "tables": tables,
            "weeks_of_steps": [{**week, "cold": self._cold(week)} for week in weeks],
            "trajectories": stored,
            "policy": {"hot_step_days": settings.hot_step_days, "failed_attempt_days": settings.failed_attempt_days},
            "expirable": expirable,
            "changes_not_archived": waiting["waiting"] if waiting else 0,
        }


async def _mine(connection: Connection) -> bool:
    row = await (await connection.execute(SQL["keeping_lock"])).fetchone()
    return bool(row and row["mine"])
