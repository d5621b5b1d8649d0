"""The log of calls that changed something by a service's HTTP API: the table `api_calls` in its schema."""

from typing import Any

from synthbench.chassis.access import ApiCall
from synthbench.storage.database import Database

_INSERT = """insert into api_calls (caller, role, method, path, status)
values (%(caller)s, %(role)s, %(method)s, %(path)s, %(status)s)"""
_LIST = "select * from api_calls where id < %(before)s order by id desc limit %(limit)s"
_LAST = 2**62


class ApiCalls:
    """Stores API calls, and lists them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def __call__(self, call: ApiCall) -> None:
        """Store one call."""
        async with self._database.connection() as connection:
            await connection.execute(_INSERT, vars(call))

    async def listed(self, limit: int, before: int | None = None) -> list[dict[str, Any]]:
        """List calls, newest first; with `before` only those whose id is smaller."""
        async with self._database.connection() as connection:
            rows = await connection.execute(_LIST, {"limit": limit, "before": before or _LAST})
            return await rows.fetchall()
