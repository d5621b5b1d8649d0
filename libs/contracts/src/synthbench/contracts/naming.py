"""Finds the artifacts that a record refers to, which garbage collection must keep."""

from collections.abc import Iterator

from synthbench.contracts.model import Record
from synthbench.contracts.records import ArtifactRef


def artifacts_of(record: Record) -> Iterator[ArtifactRef]:
    """Every reference in a record, at whatever depth, in the order of its fields."""
    for name in type(record).model_fields:
        yield from _inside(getattr(record, name))


def _inside(value: object) -> Iterator[ArtifactRef]:
    if isinstance(value, ArtifactRef):
        yield value
    elif isinstance(value, Record):
        yield from artifacts_of(value)
    elif isinstance(value, dict):
        for inner in value.values():  # pyright: ignore[reportUnknownVariableType] - whatever it holds
            yield from _inside(inner)  # pyright: ignore[reportUnknownArgumentType] - any JSON
    elif isinstance(value, list):
        for inner in value:  # pyright: ignore[reportUnknownVariableType] - any JSON
            yield from _inside(inner)  # pyright: ignore[reportUnknownArgumentType] - any JSON
