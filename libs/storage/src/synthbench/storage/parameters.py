"""Text and JSON that Postgres would refuse, changed into what it takes, in every parameter of a statement.

`synthbench.contracts.text` says what becomes of foreign text: lone surrogates are stand-ins, and a NUL is shown as its
symbol U+2400 in a column, as neither `text` nor `jsonb` can hold it. JSON has no NaN and no infinity: they are null.
"""

import json
import math
import re
from typing import Any, cast

from psycopg.abc import AdaptContext, Buffer
from psycopg.types.json import set_json_dumps
from psycopg.types.string import StrBinaryDumper, StrDumper, StrDumperUnknown

from synthbench.contracts.text import valid_text

NUL_SYMBOL = "\u2400"
_ESCAPE = re.compile(r"\\(?:u0000|.)")


def column_text(text: str) -> str:
    """Return the text as a `text` column holds it."""
    shown = text.replace("\0", NUL_SYMBOL) if "\0" in text else text
    return valid_text(shown)


def column_json(value: Any) -> str:
    """Return a JSON text as a `jsonb` column holds it.

    Raises:
        TypeError: the value, or one in it, is none that JSON has.
    """
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    except ValueError:
        text = json.dumps(_finite(value), ensure_ascii=False, allow_nan=False)
    if r"\u0000" in text:
        text = _ESCAPE.sub(lambda found: NUL_SYMBOL if found[0] == r"\u0000" else found[0], text)
    return valid_text(text)


def _finite(value: object) -> object:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in cast("dict[object, object]", value).items()}
    if isinstance(value, (list, tuple)):
        return [_finite(inner) for inner in cast("list[object]", value)]
    return value


class _ColumnText(StrDumper):
    def dump(self, obj: str) -> Buffer | None:
        return super().dump(column_text(obj))


class _ColumnTextUnknown(StrDumperUnknown):
    def dump(self, obj: str) -> Buffer | None:
        return super().dump(column_text(obj))


class _ColumnTextBinary(StrBinaryDumper):
    def dump(self, obj: str) -> Buffer | None:
        return super().dump(column_text(obj))


def adapt_parameters(context: AdaptContext) -> None:
    """Convert text and JSON in the parameters of all statements of a connection."""
    for dumper in (_ColumnTextBinary, _ColumnText, _ColumnTextUnknown):  # the last one is the default
        context.adapters.register_dumper(str, dumper)
    set_json_dumps(column_json, context)
