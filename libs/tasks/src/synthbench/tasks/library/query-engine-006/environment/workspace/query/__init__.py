"""A small SQL over CSV tables."""

from query.engine import Database
from query.errors import QueryError

__all__ = ["Database", "QueryError"]
