"""The account of what was done by a service's HTTP API: a table in its schema (`-- include: api_calls`)."""

from typing import Any

from synthbench.chassis.access import ApiCall
from synthbench.storage.database import Database

_INSERT = """insert into api_calls (caller, role, method, path, status)
values (%(caller)s, %(role)s, %(method)s, %(path)s, %(status)s)"""
_LIST = "select * from api_calls where id < %(before)s order by id desc limit %(limit)s"
_LAST = 2**62


class ApiCalls:
    """Keeps calls, and tells them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def __call__(self, call: ApiCall) -> None:
        """Keep one."""
        async with self._database.connection() as connection:
            await connection.execute(_INSERT, vars(call))

    async def listed(self, limit: int, before: int | None = None) -> list[dict[str, Any]]:
        """The newest first, from behind an id on."""
        async with self._database.connection() as connection:
            rows = await connection.execute(_LIST, {"limit": limit, "before": before or _LAST})
            return await rows.fetchall()
