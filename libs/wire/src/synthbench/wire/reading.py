"""Checks of requests that the wire formats share."""

import re
from collections.abc import Mapping
from typing import Any

import orjson

from synthbench.contracts.loose import as_list, as_object
from synthbench.wire.refusal import Refusal

_TOOL_NAME = re.compile(r"^[a-zA-Z0-9_.:-]{1,128}$")


def parsed(body: bytes) -> dict[str, Any]:
    """Parse a request's body.

    Raises:
        Refusal: 400, it is no JSON object.
    """
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise invalid(f"the body is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise invalid("the body is no JSON object")
    return as_object(found)  # pyright: ignore[reportUnknownArgumentType] - any JSON


def list_of(request: Mapping[str, Any], name: str) -> list[Any]:
    """Return a field that is a list; an empty one if it is not there.

    Raises:
        Refusal: 400, it is something else.
    """
    value = request.get(name)
    if value is not None and not isinstance(value, list):
        raise invalid(f"{name}: must be a list")
    return as_list(value)  # pyright: ignore[reportUnknownArgumentType] - any JSON


def invalid(problem: str) -> Refusal:
    """Make the refusal of a request that is itself at fault."""
    return Refusal(400, "invalid_request", problem)


def check_tool(where: str, name: object, schema: object) -> None:
    """Refuse a tool that no provider could take.

    Raises:
        Refusal: 400, its name or its schema is none.
    """
    if not isinstance(name, str) or not _TOOL_NAME.match(name):
        raise invalid(f"{where}: a tool's name is 1 to 128 letters, digits, _ . : or -, not {name!r}")
    if schema is None:
        return
    if not isinstance(schema, dict) or as_object(schema).get("type", "object") != "object":  # pyright: ignore[reportUnknownArgumentType] - any JSON
        raise invalid(f"{where}: the schema of {name!r} must be a JSON schema of type object")
    if not isinstance(as_object(schema).get("properties", {}), dict):  # pyright: ignore[reportUnknownArgumentType] - any JSON
        raise invalid(f"{where}: `properties` in the schema of {name!r} must be an object")


def characters_of(value: object) -> int:
    """Sum up the lengths of all texts in a JSON value but images, which have an estimate of tokens of their own."""
    if isinstance(value, str):
        return 0 if value.startswith("data:image/") else len(value)
    if isinstance(value, dict):
        whole = as_object(value)  # pyright: ignore[reportUnknownArgumentType] - any JSON
        if whole.get("type") == "base64" and str(whole.get("media_type")).startswith("image/"):
            return 0
        return sum(len(key) + characters_of(item) for key, item in whole.items())
    if isinstance(value, list):
        return sum(map(characters_of, value))  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType] - any JSON
    return 4
