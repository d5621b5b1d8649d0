"""The body of an HTTP API's answer to a request that failed."""

from typing import Any

from synthbench.contracts.model import Record
from synthbench.contracts.text import Line


class Problem(Record):
    """The body of such an answer."""

    detail: Line
    """One line."""


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """These statuses, for a route's OpenAPI."""
    return {status: {"model": Problem} for status in statuses}
