"""Tables: rows as dictionaries, read from CSV."""

import csv

from query.errors import QueryError
from query.values import from_text


class Table:
    """Columns in order, and rows."""

    def __init__(self, columns, rows):
        self.columns = list(columns)
        self.rows = rows

    @classmethod
    def read(cls, path):
        """Read a CSV file with a header."""
        with open(path, newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            rows = [{name: from_text(row[name] or "") for name in reader.fieldnames} for row in reader]
            return cls(reader.fieldnames or [], rows)

    def empty_row(self):
        """A row of NULLs, for outer joins."""
        return dict.fromkeys(self.columns)


def find_table(tables, name):
    """Return a table by name."""
    if name not in tables:
        raise QueryError(f"there is no table {name}")
    return tables[name]
