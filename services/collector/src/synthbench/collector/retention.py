"""Deletes what is old from the catalogue: hot steps by the week, attempts that do not count as the policy says.

Files in the artifact store are not deleted here; garbage collection takes what no row names any more.
"""

from typing import Any

from structlog.stdlib import BoundLogger

from synthbench.collector.adapters.change_log import ChangeLog
from synthbench.collector.adapters.retention import RetentionStore
from synthbench.collector.settings import CollectorSettings
from synthbench.storage.database import Database

_AT_ONCE = 200
"""Trajectories that expire in one transaction."""
_MOST_COUNTED = 1_000_000
"""Changes that wait for the archive are counted so far."""


class Retention:
    """Deletes what is old, and makes the partitions of the coming weeks; of several replicas one at a time."""

    def __init__(self, settings: CollectorSettings, database: Database, log: BoundLogger) -> None:
        self._settings = settings
        self._store = RetentionStore(database)
        self._changes = ChangeLog(database)
        self._log = log

    async def run_once(self) -> None:
        """Sweep, and log what was deleted."""
        deleted = await self.sweep()
        if any(deleted.values()):
            self._log.info("made room", **deleted)

    async def sweep(self) -> dict[str, int]:
        """Delete what is old; return how many weeks of steps and how many trajectories that were."""
        weeks = await self._store.drop_cold_weeks(self._settings.hot_step_days)
        expired, days = 0, self._settings.failed_attempt_days
        while days is not None and (some := await self._store.expire_failed(days, _AT_ONCE)):
            expired += some
        return {"weeks_of_steps": weeks, "trajectories": expired}

    async def report(self) -> dict[str, Any]:
        """Bytes by table and week, the policy, and what the next sweep would delete."""
        hot, failed = self._settings.hot_step_days, self._settings.failed_attempt_days
        return {
            **await self._store.report(hot, failed),
            "policy": {"hot_step_days": hot, "failed_attempt_days": failed},
            "changes_not_archived": await self._changes.waiting(_MOST_COUNTED),
        }
