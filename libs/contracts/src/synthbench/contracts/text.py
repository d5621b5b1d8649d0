"""Text that others wrote, as records, events and columns hold it. Pure.

Models, agents, tests, task authors and clients send what JSON and Postgres cannot hold. One rule for all of it:

* **Lone surrogates** (half of a pair; `"\\ud83d"` in JSON) are not Unicode: UTF-8 cannot encode them. Each becomes its
  stand-in, the private-use character 0x100000 above it (U+D83D becomes U+10D83D), and `original` gives it back, so
  that nothing is lost in an artifact. (Text that held one of these 2,048 characters cannot be told from it.) In JSON
  that is kept as text (`JsonText`) it is written as the escape `\\ud83d` instead, which means the same.
* **NUL** is kept in records, events and artifacts. A column of Postgres cannot hold it: there it is U+2400, the symbol
  for NUL (`synthbench.storage.parameters`), and the artifact has the original.
* **Length** is not limited in `Text`, which is what artifacts are made of. `Line` and `Name` are for columns and lists:
  shortened with a mark that says so, and short enough for an index of Postgres.
"""

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator, GetCoreSchemaHandler, GetJsonSchemaHandler, StringConstraints
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

LINE_CHARACTERS = 4000
NAME_CHARACTERS = 200

_STAND_IN = 0x100000
_LONE = re.compile(r"[\ud800-\udfff]")
_STAND_INS = re.compile(r"[\U0010d800-\U0010dfff]")
_CONTROLS = {code: 0x2400 + code for code in range(0x20)} | {0x7F: 0x2421} | dict.fromkeys(range(0x80, 0xA0), 0xFFFD)


def valid_text(text: str) -> str:
    """The text with a stand-in for each lone surrogate; then it can be encoded as UTF-8."""
    return text if text.isascii() else _LONE.sub(lambda found: chr(_STAND_IN + ord(found[0])), text)


def original(text: str) -> str:
    """The text with its lone surrogates as they were, what `valid_text` was given."""
    return text if text.isascii() else _STAND_INS.sub(lambda found: chr(ord(found[0]) - _STAND_IN), text)


def valid_json_text(text: str) -> str:
    """JSON as text with an escape for each lone surrogate in it: the same JSON, and it can be encoded as UTF-8."""
    return text if text.isascii() else _LONE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def json_text(value: Any) -> str:
    """Encode a JSON value as text that can be encoded as UTF-8, whatever strings are in it.

    Raises:
        ValueError, TypeError, RecursionError: it is no JSON value, or nested too deep.
    """
    return valid_json_text(json.dumps(value, ensure_ascii=False))


def line(text: str) -> str:
    """Text of at most `LINE_CHARACTERS`: what is longer loses its middle, and says how much of it."""
    text = valid_text(text)
    if len(text) <= LINE_CHARACTERS:
        return text
    half = (LINE_CHARACTERS - 60) // 2
    return f"{text[:half]} … {len(text) - 2 * half} characters are left out here … {text[-half:]}"


def name(text: str) -> str:
    """A name of at most `NAME_CHARACTERS` without control characters, each of which becomes its visible symbol.

    Of a longer one the beginning stays, with part of its digest, so that different names stay different.
    """
    text = valid_text(text)
    shown = text if text.isprintable() else text.translate(_CONTROLS)
    if len(shown) <= NAME_CHARACTERS:
        return shown
    digest = hashlib.sha256(text.encode()).hexdigest()[:12]
    return f"{shown[: NAME_CHARACTERS - 13]}…{digest}"


@dataclass(frozen=True)
class ForeignText:
    """The pydantic type of foreign text: what fits is taken as it is (without a call into Python), else converted."""

    convert: Callable[[str], str]
    most: int | None = None
    """Characters that are taken as they are; None for any number."""
    printable: bool = False
    """Take only what has no control characters as it is."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Check in Rust first: `min_length` makes it look at the characters, which finds surrogates."""
        pattern = r"^[^\x00-\x1f\x7f-\x9f]*$" if self.printable else None
        fits = core_schema.str_schema(min_length=0, max_length=self.most, pattern=pattern)
        converted = core_schema.no_info_plain_validator_function(self._converted)
        return core_schema.union_schema([fits, converted], mode="left_to_right", custom_error_type="string_type")

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Any string is valid."""
        return {"type": "string"}

    def _converted(self, value: Any) -> str:
        if not isinstance(value, str):
            raise ValueError("no text")  # noqa: TRY004 - pydantic reports ValueError as the field's error
        return self.convert(value)


Text = Annotated[str, ForeignText(valid_text)]
"""Text of any length; lone surrogates are kept as stand-ins."""

JsonText = Annotated[str, ForeignText(valid_json_text)]
"""JSON as text, of any length; lone surrogates are kept as escapes."""

Line = Annotated[str, ForeignText(line, LINE_CHARACTERS)]
"""Text for people: a reason, a detail, a finding; shortened in the middle where it is longer than 4,000 characters."""

Name = Annotated[str, ForeignText(name, NAME_CHARACTERS, printable=True)]
"""A name in a list or an index, at most 200 characters, all of them visible."""


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("has a NUL character, which no command or name can hold")
    return text


WITHOUT_NUL = AfterValidator(_without_nul)
"""Comes after the limits of a field's length, so that those are told in characters."""

Argument = Annotated[str, StringConstraints(min_length=0), WITHOUT_NUL]
"""Text that a person asks for and that is passed on to a program: what cannot be passed on is refused."""
