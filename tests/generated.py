"""Any value of a record: every field of it, and of what it holds, at random."""

import types
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import Enum
from typing import Annotated, Any, Literal, Union, get_args, get_origin
from uuid import UUID

from hypothesis import strategies as st
from pydantic import StringConstraints

from synthbench.contracts.model import Record
from synthbench.contracts.sampling import Sampling

_DIGESTS = st.sampled_from(["sha256:" + "0" * 64, "sha256:" + "ab" * 32])
_TEXTS = st.text(max_size=12) | st.sampled_from(["ü\n\"'\\", "c1", "c1#2"])
_PLAIN: Mapping[Any, st.SearchStrategy[Any]] = {
    str: _TEXTS,
    int: st.integers(1, 900),
    float: st.floats(0.001, 900.0),
    bool: st.booleans(),
    UUID: st.uuids(),
    datetime: st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - bounds
    type(None): st.none(),
}

_SAMPLING = st.builds(
    Sampling,
    temperature=st.none() | st.floats(0, 2),
    top_p=st.none() | st.floats(0.001, 1),
    max_tokens=st.none() | st.integers(1, 900),
    reasoning_effort=st.sampled_from([None, "low", "high"]),
    seed=st.none() | st.integers(-900, 900),
    extra_body=st.dictionaries(st.sampled_from(["top_k", "min_p"]), st.sampled_from(["1", '"a"', "[null]"])),
)
"""Parameters that `Sampling` takes: it refuses most numbers."""


def values(annotation: Any, special: Mapping[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[Any]:
    """Values of a type as records use it; `special` says by a field's name what it shall be instead."""
    if annotation is Sampling:
        return _SAMPLING
    if annotation in _PLAIN:
        return _PLAIN[annotation]
    arguments = get_args(annotation)
    match get_origin(annotation):
        case origin if origin is Annotated:
            patterned = any(isinstance(one, StringConstraints) and one.pattern for one in arguments[1:])
            return _DIGESTS if patterned else values(arguments[0], special)
        case origin if origin is Literal:
            return st.sampled_from(arguments)
        case origin if origin in (Union, types.UnionType):
            return st.one_of([values(one, special) for one in arguments])
        case origin if origin is list:
            return st.lists(values(arguments[0], special), max_size=3)
        case origin if origin is dict:
            return st.dictionaries(*(values(one, special) for one in arguments), max_size=2)
        case _:
            pass
    if issubclass(annotation, Enum):
        return st.sampled_from(annotation)
    return records(annotation, special)


def records(kind: type[Record], special: Mapping[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[Any]:
    """Records of a kind."""
    fields: dict[str, st.SearchStrategy[Any]] = {}
    for name, field in kind.model_fields.items():
        if name in special:
            fields[name] = special[name]
            continue
        patterned = any(getattr(one, "pattern", None) for one in field.metadata)
        fields[name] = _DIGESTS if patterned else values(field.annotation, special)
    return st.fixed_dictionaries(fields).map(kind.model_validate)


def leaves(kind: type[Record], prefix: str = "") -> set[str]:
    """Paths of all fields that hold no record: `steps[].action.message`."""
    found: set[str] = set()
    for name, field in kind.model_fields.items():
        inner, mark = _record_in(field.annotation)
        found |= leaves(inner, f"{prefix}{name}{mark}.") if inner else {prefix + name}
    return found


def _record_in(annotation: Any) -> tuple[type[Record] | None, str]:
    if isinstance(annotation, type) and issubclass(annotation, Record):
        return annotation, ""
    mark = "[]" if get_origin(annotation) is list else ""
    for one in get_args(annotation):
        inner, more = _record_in(one)
        if inner:
            return inner, mark + more
    return None, ""
