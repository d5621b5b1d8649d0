"""Requests of an attempt, put together again from what its steps recorded of them. Pure."""

import json
from collections.abc import Sequence
from typing import Any

from synthbench.contracts.loose import as_list
from synthbench.contracts.steps import ModelCall


def appended(messages: Sequence[dict[str, Any]], call: ModelCall | None) -> list[dict[str, Any]]:
    """The messages of a call's request, after those of the request before it."""
    if call is None:
        return list(messages)
    new = as_list(json.loads(call.messages))
    return new if call.whole else [*messages, *new]
