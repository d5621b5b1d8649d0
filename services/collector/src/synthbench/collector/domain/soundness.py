"""Checks steps against their digests, mostly without encoding the record again. Pure."""

import hashlib
from typing import Any

import orjson

from synthbench.contracts.loose import as_object
from synthbench.contracts.steps import Step, later_fields_left_out, step_digest


def sound(step: Step) -> bool:
    """Whether the content of a step matches its digest."""
    return step.digest == step_digest(step)


def sound_json(step: Step, payload: bytes) -> bytes | None:
    """Return the JSON of a step in an event, to be stored; None if its content does not match its digest.

    Mostly what was sent is canonical but for the order of its keys. Then its digest can be taken without making JSON of
    the record; where it does not match that way (numbers and defaults can be written differently), the record decides.
    """
    try:
        content: dict[str, Any] = as_object(orjson.loads(payload)["step"])
        text = orjson.dumps(content)
        later_fields_left_out(content)
        canonical = orjson.dumps(content, option=orjson.OPT_SORT_KEYS)
    except (KeyError, TypeError, ValueError):
        canonical, text = b"", b""
    if step.digest == "sha256:" + hashlib.sha256(canonical).hexdigest():
        return text
    return step.to_json() if sound(step) else None
