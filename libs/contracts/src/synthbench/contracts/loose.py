"""Looking into JSON and TOML that others wrote, without believing anything about its shape."""

import json
import tomllib
from typing import Any, cast


def parse_object(text: str | bytes) -> dict[str, Any]:
    """Parse a JSON object in UTF-8; empty where it is none, or nests deeper than the parser goes."""
    try:
        return as_object(json.loads(text.decode("utf-8-sig") if isinstance(text, bytes) else text))
    except (ValueError, RecursionError):
        return {}


def parse_toml(text: str) -> dict[str, Any]:
    """Parse a TOML document.

    Raises:
        tomllib.TOMLDecodeError: it is none, nests deeper than the parser goes, or has a number of thousands of digits.
    """
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        raise
    except RecursionError as error:
        raise tomllib.TOMLDecodeError("it is nested too deep") from error
    except ValueError as error:
        raise tomllib.TOMLDecodeError("a number in it has too many digits") from error


def as_object(value: object) -> dict[str, Any]:
    """The value if it is a JSON object, else an empty one."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def as_list(value: object) -> list[Any]:
    """The value if it is a JSON list, else an empty one."""
    return cast("list[Any]", value) if isinstance(value, list) else []


def as_count(value: object) -> int:
    """The value if it is a number of things, else 0."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else 0
