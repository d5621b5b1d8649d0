"""No field of a record or an event takes foreign text or numbers as they come: each has a type that bounds them."""

import importlib
import pkgutil
import types
from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any, Union, get_args, get_origin

import annotated_types
import pytest
from pydantic import SecretStr, StringConstraints
from pydantic.fields import FieldInfo

import synthbench.contracts as package
from synthbench.contracts.model import Record
from synthbench.contracts.numbers import ForeignNumber, within_calendar
from synthbench.contracts.text import Argument, ForeignText

for _module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
    importlib.import_module(_module.name)


def subclasses(of: type[Record]) -> Iterator[type[Record]]:
    for one in of.__subclasses__():
        yield one
        yield from subclasses(one)


RECORDS = sorted((one for one in set(subclasses(Record)) if one.__module__.startswith(package.__name__)), key=str)


def parts(annotation: Any, metadata: tuple[Any, ...] = ()) -> Iterator[tuple[Any, tuple[Any, ...]]]:
    """Each plain type inside an annotation, with everything that is said of it."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        yield from parts(arguments[0], (*arguments[1:], *metadata))
    elif origin in (Union, types.UnionType):
        for one in arguments:
            yield from parts(one, metadata)
    elif origin in (list, dict, tuple):
        for one in arguments:
            yield from parts(one)
    elif isinstance(annotation, type):
        yield annotation, metadata


def told(metadata: tuple[Any, ...]) -> Iterator[Any]:
    """What is said of a type, also inside pydantic's `Field(...)`."""
    for one in metadata:
        yield one
        if isinstance(one, FieldInfo):
            yield from one.metadata


def bounded(plain: type, metadata: tuple[Any, ...]) -> bool:
    facts = list(told(metadata))
    if plain is str:
        argument = get_args(Argument)[-1]
        return any(
            isinstance(one, ForeignText)
            or one == argument
            or (isinstance(one, StringConstraints) and one.pattern is not None)
            for one in facts
        )
    if plain is datetime:
        return any(getattr(one, "func", None) is within_calendar for one in facts)
    if plain in (int, float):
        upper = any(isinstance(one, annotated_types.Le | annotated_types.Lt) for one in facts)
        return upper or any(isinstance(one, ForeignNumber) for one in facts)
    return True


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.__name__)
def test_each_field_of_a_record_has_a_type_that_bounds_it(record: type[Record]):
    free = [
        f"{name}: {plain.__name__}"
        for name, field in record.model_fields.items()
        for plain, metadata in parts(field.annotation, tuple(field.metadata))
        if plain not in (SecretStr, bool) and not bounded(plain, metadata)
    ]
    assert free == []


def test_the_test_notices_fields_without_a_type():
    class Free(Record):
        """Fields as they must not be."""

        text: str = ""
        number: int = 0
        share: float | None = None
        named: dict[str, int] = {}
        at: datetime | None = None

    found = [name for name, field in Free.model_fields.items() for one in parts(field.annotation, tuple(field.metadata))
             if one[0] is not type(None) and not bounded(*one)]  # fmt: skip
    assert set(found) == set(Free.model_fields)
