"""Rows of trajectories as an Arrow stream, which pandas, polars, DuckDB and `datasets` read directly."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, cast
from uuid import UUID

import orjson
import pyarrow as untyped  # noqa: ICN001 - it has no stubs  # pyright: ignore[reportMissingTypeStubs] - as said

pa = cast("Any", untyped)

MEDIA_TYPE = "application/vnd.apache.arrow.stream"
_TEXT, _COUNT, _BIG, _REAL, _FLAG = pa.string(), pa.int32(), pa.int64(), pa.float64(), pa.bool_()
TYPES: Mapping[str, Any] = {
    "trajectory_id": _TEXT,
    "rollout_id": _TEXT,
    "attempt": _COUNT,
    "submission_id": _TEXT,
    "campaign": _TEXT,
    "counted": _FLAG,
    "task": _TEXT,
    "category": _TEXT,
    "difficulty": _TEXT,
    "scaffold": _TEXT,
    "route": _TEXT,
    "model": _TEXT,
    "outcome": _TEXT,
    "reward": _REAL,
    "steps": _COUNT,
    "seconds": _REAL,
    "input_tokens": _BIG,
    "output_tokens": _BIG,
    "cost_microusd": _BIG,
    "cost_known": _FLAG,
    "simulated": _FLAG,
    "forgeable": _FLAG,
    "incomplete": _TEXT,
    "detail": _TEXT,
    "artifact": pa.struct([("uri", _TEXT), ("digest", _TEXT), ("size", _BIG), ("media_type", _TEXT)]),
    "verdict": _TEXT,
    "aggregate": _REAL,
    "policy": _TEXT,
    "scores": _TEXT,
    "curation": _TEXT,
    "duplicate_of": _TEXT,
    "similarity": _REAL,
    "stored_at": pa.timestamp("us", tz="UTC"),
    "forked_from": _TEXT,
    "forked_step": _COUNT,
    "resumed_from": _COUNT,
    "imported": _TEXT,
    "resolved": _FLAG,
}
"""The Arrow type of each column; ids and JSON documents are text."""


async def stream(columns: Sequence[str], pages: AsyncIterator[Sequence[Mapping[str, Any]]]) -> AsyncIterator[bytes]:
    """Yield an Arrow IPC stream, a record batch for each page; without any page it has its schema alone."""
    schema = pa.schema([(name, TYPES[name]) for name in columns])
    buffer = _Buffer()
    with pa.ipc.new_stream(buffer, schema) as writer:
        async for rows in pages:
            arrays = [pa.array([_cell(row[name], TYPES[name]) for row in rows], TYPES[name]) for name in columns]
            writer.write_batch(pa.record_batch(arrays, schema=schema))
            yield buffer.take()
    yield buffer.take()


def _cell(value: Any, kind: Any) -> Any:
    if isinstance(value, UUID):
        return str(value)
    if kind == _TEXT and isinstance(value, (dict, list)):
        return orjson.dumps(value).decode()
    return value


class _Buffer:
    """A file-like object whose content is taken out after each write."""

    closed = False

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, data: Any) -> int:
        """Append data; return its length in bytes."""
        self._parts.append(bytes(data))
        return len(self._parts[-1])

    def flush(self) -> None:
        """Do nothing: no data is held back."""

    def close(self) -> None:
        """Do nothing: there is no file."""

    def take(self) -> bytes:
        """Return and remove all data."""
        parts, self._parts = self._parts, []
        return b"".join(parts)
