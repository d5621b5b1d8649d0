"""Rows during a query: values by table alias and column."""

from query.errors import QueryError


class Row:
    """The values of one row of each table that takes part."""

    def __init__(self, tables):
        self._tables = tables

    def joined(self, alias, values):
        """This row beside a row of another table."""
        return Row({**self._tables, alias: values})

    def get(self, name, table=""):
        """Return a value by column, and by table alias where it is given."""
        if table:
            if table not in self._tables or name not in self._tables[table]:
                raise QueryError(f"there is no column {table}.{name}")
            return self._tables[table][name]
        found = [values for values in self._tables.values() if name in values]
        if not found:
            raise QueryError(f"there is no column {name}")
        if len(found) > 1:
            raise QueryError(f"{name} is in several tables")
        return found[0][name]

    def items(self):
        """All (column, value) pairs, table by table."""
        return [pair for values in self._tables.values() for pair in values.items()]
