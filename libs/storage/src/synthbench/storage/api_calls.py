"""The log of calls that changed something by a service's HTTP API: the table `api_calls` in its schema."""

from typing import Any

from synthbench.chassis.access import ApiCall
from synthbench.storage.database import Database
from synthbench.storage.queries import Queries

_SQL = Queries.load("synthbench.storage", "api_calls_queries.sql")
_LAST = 2**62


class ApiCalls:
    """Stores API calls, and lists them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def __call__(self, call: ApiCall) -> None:
        """Store one call."""
        async with self._database.connection() as connection:
            await connection.execute(_SQL["insert_call"], vars(call))

    async def listed(self, limit: int, before: int | None = None) -> list[dict[str, Any]]:
        """List calls, newest first; with `before` only those whose id is smaller."""
        async with self._database.connection() as connection:
            rows = await connection.execute(_SQL["list_calls"], {"limit": limit, "before": before or _LAST})
            return await rows.fetchall()
