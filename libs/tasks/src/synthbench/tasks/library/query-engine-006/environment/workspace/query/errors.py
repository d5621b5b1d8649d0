"""What is wrong with a query."""


class QueryError(ValueError):
    """One line for the person who wrote it."""
