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
    """A text that is no cursor of a list."""

    def __init__(self) -> None:
        super().__init__("cursor: take it from next_cursor as it is")


@dataclass(frozen=True)
class Order:
    """The columns by which a list is sorted, all descending; together they identify a row.

    Args:
        columns: each with its type: datetime, UUID or int.
    """

    columns: Mapping[LiteralString, type]

    @property
    def by(self) -> sql.SQL:
        """The clause `order by …`."""
        return sql.SQL("order by " + ", ".join(f"{name} desc" for name in self.columns))

    @property
    def behind(self) -> sql.Composed:
        """The condition that rows come after a place in the list; its parameters are the place's values."""
        return sql.SQL("({}) < ({})").format(
            sql.SQL(", ").join(map(sql.Identifier, self.columns)),
            sql.SQL(", ").join([sql.SQL("%s")] * len(self.columns)),
        )

    def cursor(self, row: Mapping[str, Any]) -> str:
        """Return the cursor of a row: its place in the list, as text."""
        values = (row[name] for name in self.columns)
        return "|".join(value.isoformat() if isinstance(value, datetime) else str(value) for value in values)

    def place(self, cursor: str) -> list[Any]:
        """Return the place in the list that a cursor stands for.

        Raises:
            BadCursor: the text is no cursor of this list.
        """
        try:
            return [_KINDS[kind](part) for kind, part in zip(self.columns.values(), cursor.split("|"), strict=True)]
        except ValueError:
            raise BadCursor from None


@dataclass(frozen=True)
class Listing:
    """A sorted list whose rows can be selected by the values of columns.

    Args:
        select: the query up to its `where`; it selects the columns of the order, too.
        order: by which it is sorted.
    """

    select: LiteralString
    order: Order

    def query(
        self, where: Mapping[str, object], cursor: str | None, limit: int, *also: sql.Composable
    ) -> tuple[sql.Composed, list[Any]]:
        """Return the query of a page and its parameters.

        Args:
            where: values by column; None stands for any value.
            cursor: of the page; None for the first one.
            limit: rows of the page.
            also: further conditions, without parameters.

        Raises:
            BadCursor: the text is no cursor of this list.
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
            BadCursor: the text is no cursor of this list.
        """
        query, values = self.query(where, cursor, limit, *also)
        async with database.connection() as connection:
            rows = await (await connection.execute(query, values)).fetchall()
        return rows, self.order.cursor(rows[-1]) if len(rows) == limit else None
