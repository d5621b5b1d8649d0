"""Running queries: FROM and JOIN, WHERE, GROUP BY, HAVING, ORDER BY, outputs, LIMIT."""

from query.evaluate import evaluate, has_aggregate, truth
from query.errors import QueryError
from query.nodes import Column
from query.parser import parse
from query.rows import Row
from query.tables import Table, find_table
from query.values import sort_key


class Database:
    """Named tables."""

    def __init__(self):
        self._tables = {}

    def load(self, name, path):
        """Read a CSV file as a table."""
        self._tables[name] = Table.read(path)

    def add(self, name, columns, rows):
        """Make a table of tuples."""
        self._tables[name] = Table(columns, [dict(zip(columns, row)) for row in rows])

    def run(self, text):
        """Return the names of the result's columns and its rows as lists."""
        query = parse(text)
        rows = self._source(query)
        if query.where is not None:
            rows = [row for row in rows if truth(query.where, row) is True]
        grouped = bool(query.group) or any(has_aggregate(o.expression) for o in query.outputs) or has_aggregate(query.having)
        groups = _groups(query, rows) if grouped else [(row, None) for row in rows]
        if query.having is not None:
            if not grouped:
                raise QueryError("HAVING needs GROUP BY or an aggregate")
            groups = [(row, group) for row, group in groups if truth(query.having, row, group) is True]
        groups = _ordered(query, groups)
        if query.limit is not None:
            groups = groups[: query.limit]
        return self._names(query), [_outputs(query, row, group) for row, group in groups]

    def _source(self, query):
        """Rows of all tables together."""
        rows = [Row({query.alias: values}) for values in find_table(self._tables, query.table).rows]
        for join in query.joins:
            table = find_table(self._tables, join.table)
            joined = []
            for row in rows:
                candidates = [row.joined(join.alias, values) for values in table.rows]
                matching = [candidate for candidate in candidates if truth(join.condition, candidate) is True]
                if not matching and join.left:
                    matching = [row.joined(join.alias, table.empty_row())]
                joined.extend(matching)
            rows = joined
        return rows

    def _names(self, query):
        names = []
        for output in query.outputs:
            if output.expression is not None:
                names.append(output.name)
                continue
            for table in [query.table, *(join.table for join in query.joins)]:
                names.extend(find_table(self._tables, table).columns)
        return names


def _groups(query, rows):
    """Return (first row, rows) of each group, in the order of first appearance; NULLs are one group.

    Without GROUP BY all rows are one group, also if there are none.
    """
    if not query.group:
        return [(rows[0] if rows else Row({}), rows)]
    found = {}
    for row in rows:
        found.setdefault(tuple(evaluate(node, row) for node in query.group), []).append(row)
    return [(group[0], group) for group in found.values()]


def _ordered(query, groups):
    """Sort by each key; names of outputs may be used."""
    named = {output.name: output.expression for output in query.outputs if output.expression is not None}
    for node, descending in reversed(query.order):
        expression = named.get(node.name, node) if isinstance(node, Column) and not node.table else node
        groups = sorted(groups, key=lambda pair: sort_key(evaluate(expression, *pair)), reverse=descending)
    return groups


def _outputs(query, row, group):
    found = []
    for output in query.outputs:
        if output.expression is None:
            found.extend(value for _, value in row.items())
        else:
            found.append(evaluate(output.expression, row, group))
    return found
