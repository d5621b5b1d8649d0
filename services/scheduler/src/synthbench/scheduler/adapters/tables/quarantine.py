"""The tables `quarantine` and `quarantine_released`."""

from synthbench.scheduler.adapters.tables.table import PACKAGE, Table
from synthbench.scheduler.domain.quarantine import TaskFailures
from synthbench.storage.queries import Queries


class Quarantine(Table):
    """Tasks that are set aside because they only ever failed by our own doing."""

    statements = Queries.load(PACKAGE, "quarantine.sql")

    async def failures_of_task(self, digest: str) -> TaskFailures:
        """Count how a task failed since it last worked."""
        (row,) = await self._rows("failures_of_task", digest=digest)
        return TaskFailures(**row)

    async def add(self, digest: str, name: str, reason: str) -> bool:
        """Set a task aside; False if it is already."""
        return await self._row("insert", digest=digest, name=name, reason=reason) is not None

    async def release(self, digest: str) -> bool:
        """Let a task be submitted again; False if it was not set aside."""
        return await self._row("release", digest=digest) is not None
