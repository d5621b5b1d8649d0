"""Lists for HTTP APIs: newest first, a page at a time, each page behind the last row of the one before."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, LiteralString
from uuid import UUID

from psycopg import sql

from synthbench.storage.database import Database

_KINDS: Mapping[type, Any] = {datetime: datetime.fromisoformat, UUID: UUID, int: int}


class BadCursor(ValueError):
    """A text that is no place in a list."""

    def __init__(self) -> None:
        super().__init__("cursor: take it from next_cursor as it is")


@dataclass(frozen=True)
class Order:
    """By which columns a list is sorted, each of them descending; together they name a row.

    Args:
        columns: each with its type: datetime, UUID or int.
    """

    columns: Mapping[LiteralString, type]

    @property
    def by(self) -> sql.SQL:
        """`order by …`."""
        return sql.SQL("order by " + ", ".join(f"{name} desc" for name in self.columns))

    @property
    def behind(self) -> sql.Composed:
        """The condition that rows lie behind a place, whose values are its parameters."""
        return sql.SQL("({}) < ({})").format(
            sql.SQL(", ").join(map(sql.Identifier, self.columns)),
            sql.SQL(", ").join([sql.SQL("%s")] * len(self.columns)),
        )

    def cursor(self, row: Mapping[str, Any]) -> str:
        """The place of a row as text."""
        values = (row[name] for name in self.columns)
        return "|".join(value.isoformat() if isinstance(value, datetime) else str(value) for value in values)

    def place(self, cursor: str) -> list[Any]:
        """The other way round.

        Raises:
            BadCursor: it is none of ours.
        """
        try:
            return [_KINDS[kind](part) for kind, part in zip(self.columns.values(), cursor.split("|"), strict=True)]
        except ValueError:
            raise BadCursor from None


@dataclass(frozen=True)
class Listing:
    """A list that may be asked for rows of one value of some columns.

    Args:
        select: what comes before `where`; the columns of the order are among its own.
        order: how it is sorted.
    """

    select: LiteralString
    order: Order

    def query(
        self, where: Mapping[str, object], cursor: str | None, limit: int, *also: sql.Composable
    ) -> tuple[sql.Composed, list[Any]]:
        """Return the query and its parameters; of `where` those that are None do not matter.

        Raises:
            BadCursor: the cursor is none.
        """
        wanted = {name: value for name, value in where.items() if value is not None}
        conditions = [sql.SQL("{} = %s").format(sql.Identifier(name)) for name in wanted] + list(also)
        values = list(wanted.values())
        if cursor is not None:
            conditions.append(self.order.behind)
            values += self.order.place(cursor)
        found = sql.SQL("where ") + sql.SQL(" and ").join(conditions) if conditions else sql.SQL("")
        query = sql.SQL("{} {} {} limit %s").format(sql.SQL(self.select), found, self.order.by)
        return query, [*values, limit]

    async def page(
        self,
        database: Database,
        where: Mapping[str, object],
        cursor: str | None,
        limit: int,
        *also: sql.Composable,
    ) -> tuple[list[dict[str, Any]], str | None]:
        """Return the rows of a page, and the cursor of the next one; None if this was the last.

        Raises:
            BadCursor: the cursor is none.
        """
        query, values = self.query(where, cursor, limit, *also)
        async with database.connection() as connection:
            rows = await (await connection.execute(query, values)).fetchall()
        return rows, self.order.cursor(rows[-1]) if len(rows) == limit else None
