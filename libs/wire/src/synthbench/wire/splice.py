"""Changing single fields of a JSON request without touching its other bytes, where that is safe. Pure."""

import re
from collections.abc import Mapping
from typing import Any

import orjson

_MODEL_KEY = re.compile(rb'"model"\s*:\s*("(?:[^"\\]|\\.)*")')
_ESCAPED_LETTER = re.compile(rb"\\u00[46]", re.IGNORECASE)
"""A key's name may be spelled with escapes; then only a parser can tell where it is."""


def with_fields(body: bytes, request: Mapping[str, Any], changes: Mapping[str, Any]) -> bytes:
    """Return the request with top-level fields changed.

    The bytes stay as they are but for the model's name and for new fields at the start; anything else, and any doubt
    (a field that is there twice, an escaped name), writes the whole object anew, so that the provider reads what was
    checked here.
    """
    missing = {name: value for name, value in changes.items() if name not in request}
    other = {name for name in changes if name in request and request[name] != changes[name]}
    names = _MODEL_KEY.findall(body)
    if not other <= {"model"} or "model" in missing or len(names) != 1 or _ESCAPED_LETTER.search(body):
        return orjson.dumps({**request, **changes})
    if other:
        start, end = next(_MODEL_KEY.finditer(body)).span(1)
        body = body[:start] + orjson.dumps(changes["model"]) + body[end:]
    if missing:
        body = b"{" + orjson.dumps(missing)[1:-1] + b"," + body.lstrip()[1:]
    return body
