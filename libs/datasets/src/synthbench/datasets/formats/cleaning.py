"""Values that JSON documents of others hold and that no record or export can hold. Pure."""

import math
from collections import Counter
from typing import Any

from synthbench.contracts.loose import as_list, as_object
from synthbench.contracts.text import valid_text

_NUMBERS = "numbers that are not finite (NaN, Infinity)"
_NAME_CHARACTERS = 200


def finite(document: Any) -> tuple[Any, Counter[str]]:
    """Return a parsed document with null for each number that is not finite, and how many there were.

    Raises:
        RecursionError: it is nested too deeply.
    """
    replaced: Counter[str] = Counter()
    return _valid(document, replaced, texts=False), replaced


def valid_json(value: Any) -> Any:
    """A parsed JSON value that every reader takes: stand-ins for lone surrogates, null for numbers that are not finite.

    Raises:
        RecursionError: it is nested too deeply.
    """
    return _valid(value, Counter(), texts=True)


def name_of(value: str) -> str:
    """A text as a name: one line of at most 200 characters, without NUL."""
    return " ".join(valid_text(value).replace("\0", " ").split())[:_NAME_CHARACTERS]


def _valid(value: Any, replaced: Counter[str], *, texts: bool) -> Any:
    match value:
        case str():
            return valid_text(value) if texts else value
        case float():
            if math.isfinite(value):
                return value
            replaced[_NUMBERS] += 1
            return None
        case list():
            return [_valid(one, replaced, texts=texts) for one in as_list(value)]  # pyright: ignore[reportUnknownArgumentType] - any JSON
        case dict():
            content = as_object(value)  # pyright: ignore[reportUnknownArgumentType] - any JSON
            return {
                valid_text(name) if texts else name: _valid(one, replaced, texts=texts) for name, one in content.items()
            }
        case _:
            return value
