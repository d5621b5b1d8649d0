"""The filter language: `outcome:solved -scaffold:oracle reward>=0.5 steps:5..20 stored>2026-11-01 "off by one"`. Pure.

Terms are joined by *and*; values of one term with commas by *or*; `-` turns a term round. Words without a field are
searched for. See docs/catalogue.md.
"""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from string import hexdigits
from typing import Literal
from uuid import UUID

Kind = Literal["text", "number", "time", "flag", "id"]
_TEXTS = ("task", "category", "difficulty", "scaffold", "route", "model", "campaign", "outcome", "verdict", "curation")
_NUMBERS = ("reward", "aggregate", "similarity", "steps", "seconds", "input_tokens", "output_tokens", "attempt")
_FLAGS = ("counted", "simulated", "forgeable", "resolved", "cost_known")
FIELDS: dict[str, tuple[Kind, str]] = {
    "id": ("id", "trajectory_id"),
    "rollout": ("id", "rollout_id"),
    "submission": ("id", "submission_id"),
    "duplicate_of": ("id", "duplicate_of"),
    "forked_from": ("id", "forked_from"),
    **{name: ("text", name) for name in (*_TEXTS, "imported")},
    **{name: ("flag", name) for name in _FLAGS},
    **{name: ("number", name) for name in _NUMBERS},
    "tokens": ("number", "(input_tokens + output_tokens)"),
    "cost": ("number", "(cost_microusd / 1000000.0)"),
    "stored": ("time", "stored_at"),
}
"""Fields by name: the kind of their values, and the column or SQL expression that they stand for."""
NONE = "none"
"""Stands in a filter for a field that is null."""
_VALUE = r'(?:"(?:[^"\\]|\\.)*"|[^\s",]+)'
_TERM = re.compile(
    rf'(?P<minus>-)?(?:(?P<field>[a-z_]+)(?P<op>>=|<=|>|<|:|=)(?P<values>{_VALUE}(?:,{_VALUE})*)|(?P<words>"(?:[^"\\]|\\.)*"|[^\s":<>=]+))(?=\s|$)'
)
_LONGEST, _MOST_TERMS = 2000, 50
_ID_DIGITS = 32


class FilterError(ValueError):
    """A filter that cannot be read; the message says why and where, in one line."""


@dataclass(frozen=True)
class Term:
    """One condition on a field; `values` are alternatives, each a value or a `Range`."""

    field: str
    op: str
    values: tuple[object, ...]
    negated: bool = False

    @property
    def kind(self) -> Kind:
        """The kind of value that the field holds."""
        return FIELDS[self.field][0]


@dataclass(frozen=True)
class Range:
    """Values between two bounds; both are included unless `open_end`."""

    low: object
    high: object
    open_end: bool = False


@dataclass(frozen=True)
class Filter:
    """Terms and words that a trajectory has to match, all of them."""

    terms: tuple[Term, ...] = ()
    words: str = ""
    """In the syntax of `websearch_to_tsquery`: words, "phrases", -excluded ones."""


def parse(text: str) -> Filter:
    """Read a filter.

    Raises:
        FilterError: the text is no filter.
    """
    if len(text) > _LONGEST:
        raise FilterError(f"the filter has more than {_LONGEST} characters")
    if "\0" in text:
        raise FilterError("the filter holds a NUL character")
    terms, words, position = list[Term](), list[str](), 0
    while position < len(text):
        if text[position].isspace():
            position += 1
            continue
        found = _TERM.match(text, position)
        if found is None:
            raise FilterError(f"character {position + 1}: {text[position : position + 20]!r} is no term")
        if found["words"] is not None:
            words.append(_searched(found, position))
        else:
            terms.append(_term(found, position))
        position = found.end()
    if len(terms) > _MOST_TERMS:
        raise FilterError(f"the filter has more than {_MOST_TERMS} terms")
    return Filter(tuple(terms), " ".join(words))


def _searched(found: "re.Match[str]", position: int) -> str:
    """Return a word or a phrase with at most one `-` before it: Postgres would take each more as one more *not*."""
    word = found["words"] if found["words"].startswith('"') else found["words"].strip("-")
    if not any(one.isalnum() for one in word):
        raise FilterError(f"character {position + 1}: there is no letter or digit in {found[0][:20]!r} to search for")
    return (found["minus"] or "") + word


def _term(found: "re.Match[str]", position: int) -> Term:
    name, op = found["field"], found["op"].replace("=", ":") if found["op"] == "=" else found["op"]
    if name not in FIELDS:
        raise FilterError(f"character {position + 1}: there is no field {name!r}; there are {', '.join(FIELDS)}")
    kind = FIELDS[name][0]
    if op != ":" and kind not in ("number", "time"):
        raise FilterError(f"character {position + 1}: {name} has no order; write {name}:value")
    texts = [_unquoted(one) for one in re.findall(_VALUE, found["values"])]
    if op != ":" and len(texts) > 1:
        raise FilterError(f"character {position + 1}: {name}{op} takes one value")
    try:
        if kind == "time" and op != ":":
            op, moment = _ordered(op, texts[0])
            return Term(name, op, (moment,), negated=found["minus"] is not None)
        values = tuple(_value(kind, op, one) for one in texts)
    except ValueError as error:
        raise FilterError(f"character {position + 1}: {name} is {error}") from error
    return Term(name, op, values, negated=found["minus"] is not None)


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text[1:-1]) if text.startswith('"') else text


def _value(kind: Kind, op: str, text: str) -> object:
    if text == NONE and op == ":":
        return None
    low, dots, high = text.partition("..")
    if dots and op == ":" and kind in ("number", "time"):
        return _range(kind, low, high)
    readers = {"text": str, "flag": _flag, "id": _id, "number": _number, "time": _day}
    return readers[kind](text)


def _range(kind: Kind, low: str, high: str) -> Range:
    if kind == "number":
        return Range(_number(low), _number(high))
    return Range(_moment(low)[0], _moment(high)[1], open_end=True)


def _flag(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError(f"true or false, not {text[:40]!r}")
    return text == "true"


def _id(text: str) -> UUID | Range:
    """Read an id, or the beginning of one as the range of ids that have it."""
    digits = text.replace("-", "").lower()
    if not digits or len(digits) > _ID_DIGITS or not set(digits) <= set(hexdigits):
        raise ValueError(f"an id or the beginning of one, not {text[:40]!r}")
    if len(digits) == _ID_DIGITS:
        return UUID(digits)
    return Range(UUID(digits.ljust(_ID_DIGITS, "0")), UUID(digits.ljust(_ID_DIGITS, "f")))


def _day(text: str) -> Range:
    return Range(*_moment(text), open_end=True)


def _ordered(op: str, text: str) -> tuple[str, datetime]:
    """Return operator and time of a comparison; a day is before or after as a whole."""
    begins, ends = _moment(text)
    if begins == ends:
        return op, begins
    return {">": (">=", ends), ">=": (">=", begins), "<": ("<", begins), "<=": ("<", ends)}[op]


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if number != number or abs(number) > 1e18:  # noqa: PLR0124 - NaN is not itself
        raise ValueError(f"a number, not {text[:40]!r}")
    return number


def _moment(text: str) -> tuple[datetime, datetime]:
    """Return begin and end of a day, or a time twice; UTC unless the text has a zone."""
    try:
        day = datetime.combine(date.fromisoformat(text), time(), UTC)
        return day, day + timedelta(days=1)
    except (ValueError, OverflowError):
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"a day or a time, not {text[:40]!r}") from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return moment, moment


def like(text: str) -> str | None:
    """The pattern of SQL's LIKE for a value with `*` in it; None for one without."""
    if "*" not in text:
        return None
    escaped = re.sub(r"([\\%_])", r"\\\1", text)
    return escaped.replace("*", "%")
