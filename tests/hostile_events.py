"""JSON of events with values that nobody means, made from the records that the registry names."""

import json
import types
from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import Enum
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin
from uuid import UUID

from hypothesis import strategies as st
from pydantic import StringConstraints, ValidationError

from fuzzing import HOSTILE_JSON, HOSTILE_NUMBER, HOSTILE_TEXT
from synthbench.contracts.model import Record
from synthbench.contracts.records import DEFAULT_POOLS

Known = Mapping[str, Sequence[Any]]
"""Values of fields by name that a service knows already, such as the ids of what runs."""

DIGESTS = ("sha256:" + "0" * 64, "sha256:" + "ab" * 32)
ADDRESSES = (
    *(f"artifact://sha256/{digest[7:]}" for digest in DIGESTS),
    "artifact://key/" + "x" * 300, "artifact://key/" + "/".join("d" * 400), "artifact://key/a\u00e4\U0010d800",
    "artifact://key/../../etc/passwd", "artifact://key/a//b", "artifact://sha256/zz", "artifact://", "file:///etc/passwd",
    "",
)  # fmt: skip
TIMES = ("2026-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59.999999-14:00", "2026-01-01T00:00:00")

_LABELS = st.sampled_from(["c", "native"])
_PATTERNED: Mapping[str, st.SearchStrategy[Any]] = {
    "sha256": st.sampled_from(DIGESTS),
    "x20": st.sampled_from(ADDRESSES),
    "a-z0-9-": st.sampled_from(DEFAULT_POOLS),
}
"""Values of texts that have a pattern, by what stands in it."""


def _mostly(plain: st.SearchStrategy[Any], hostile: st.SearchStrategy[Any], every: int) -> st.SearchStrategy[Any]:
    """Plain values, and a hostile one in so many."""
    return st.integers(1, every).flatmap(lambda draw: hostile if draw == every else plain)


def _whole(number: float) -> bool:
    return isinstance(number, int)


_PLAIN: Mapping[Any, st.SearchStrategy[Any]] = {
    str: st.sampled_from(["c", "simple-task-001", "sim/expert", "native", "bubblewrap", "{}", "[]"]) | HOSTILE_TEXT,
    int: _mostly(st.integers(1, 3), HOSTILE_NUMBER, 4),
    float: _mostly(st.floats(0.5, 1), HOSTILE_NUMBER, 4),
    bool: st.booleans(),
    UUID: st.uuids().map(str),
    datetime: st.sampled_from(TIMES),
    type(None): st.none(),
}
_VALID: Mapping[Any, tuple[st.SearchStrategy[Any], st.SearchStrategy[Any]]] = {
    int: (_mostly(st.integers(1, 3), HOSTILE_NUMBER.filter(_whole), 3), st.integers(1, 3)),
    float: (_PLAIN[float], st.floats(0.5, 1)),
}
"""Values of numbers that a record takes: of any, and of those that it bounds by a refusal."""


def valid_bodies(kind: type[Record], known: Known) -> st.SearchStrategy[dict[str, Any]]:
    """JSON objects that a kind of record takes, hostile as their texts and numbers are."""

    def valid(body: dict[str, Any]) -> bool:
        try:
            kind.model_validate(body)
        except ValidationError:
            return False
        return True

    return _bodies(kind, known, tame=True).filter(valid)


def _bodies(kind: type[Record], known: Known, *, tame: bool = False) -> st.SearchStrategy[dict[str, Any]]:
    """JSON objects for a kind of record; `tame` ones have values of the right types only."""
    fields = {
        name: _field(name, field.annotation, field.metadata, known, tame)
        for name, field in kind.model_fields.items()
        if not (tame and name == "extra_body")  # most are refused
    }
    required = {name: one for name, one in fields.items() if kind.model_fields[name].is_required()}
    optional = {name: one for name, one in fields.items() if name not in required}
    return st.fixed_dictionaries(required, optional=optional)


def _field(name: str, annotation: Any, metadata: Sequence[Any], known: Known, tame: bool) -> st.SearchStrategy[Any]:
    right = st.sampled_from(known[name]) if name in known else _values(annotation, metadata, known, tame)
    return right if tame else _mostly(right, HOSTILE_JSON, 40)


def _values(annotation: Any, metadata: Sequence[Any], known: Known, tame: bool) -> st.SearchStrategy[Any]:
    arguments, origin = get_args(annotation), get_origin(annotation)
    if origin is Annotated:
        return _values(arguments[0], [*metadata, *arguments[1:]], known, tame)
    if annotation is str and (pattern := _pattern(metadata)):
        return next(
            (values for mark, values in _PATTERNED.items() if mark in pattern), st.sampled_from(["c", "native"])
        )
    if tame and annotation in _VALID:
        return _VALID[annotation][any(getattr(one, "le", None) is not None for one in metadata)]
    if annotation in _PLAIN:
        return _PLAIN[annotation]
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin in (Union, types.UnionType):
        return st.one_of([_values(one, metadata, known, tame) for one in arguments])
    if origin is list:
        return st.lists(_values(arguments[0], [], known, tame), max_size=2)
    if origin is dict:
        return st.dictionaries(HOSTILE_TEXT, _values(arguments[1], [], known, tame), max_size=2)
    if issubclass(annotation, Enum):
        return st.sampled_from([one.value for one in annotation])
    return _bodies(cast("type[Record]", annotation), known, tame=tame)


def _pattern(metadata: Sequence[Any]) -> str:
    constraints = [one.pattern for one in metadata if isinstance(one, StringConstraints) or hasattr(one, "pattern")]
    return next((str(one) for one in constraints if one), "")


def payloads(kind: type[Record], known: Known) -> st.SearchStrategy[bytes]:
    """The same as bytes: escaped, or as raw Unicode; sometimes nested deep, or cut off."""
    return st.builds(
        _payload, _bodies(kind, known), st.booleans(), _mostly(st.just(""), st.sampled_from(["deep", "cut"]), 20)
    )


def _payload(body: dict[str, Any], escaped: bool, fault: str) -> bytes:
    text = json.dumps(body, ensure_ascii=escaped)
    if fault == "deep":
        text = text.replace(":", ":" + "[" * 5000 + "]" * 5000 + ',"x":', 1)
    elif fault == "cut":
        text = text[: len(text) // 2]
    return text.encode(errors="surrogatepass")
