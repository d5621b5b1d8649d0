"""A table within one transaction."""

from typing import Any, ClassVar, LiteralString

from synthbench.storage.database import Connection
from synthbench.storage.queries import Queries

PACKAGE = "synthbench.scheduler.adapters.tables"


class Table:
    """Runs the named statements of a subclass on the connection of a transaction."""

    statements: ClassVar[Queries]

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def _rows(self, name: LiteralString, /, **parameters: object) -> list[dict[str, Any]]:
        cursor = await self._connection.execute(self.statements[name], parameters)
        return await cursor.fetchall() if cursor.description else []

    async def _row(self, name: LiteralString, /, **parameters: object) -> dict[str, Any] | None:
        rows = await self._rows(name, **parameters)
        return rows[0] if rows else None
