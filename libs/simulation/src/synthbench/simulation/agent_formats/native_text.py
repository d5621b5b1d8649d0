"""The native scaffold's text actions, for requests without tools whose system prompt asks for them."""

import json
from collections.abc import Mapping
from typing import Any

from synthbench.contracts.loose import as_list, as_object
from synthbench.simulation.attempt import PolicyTurn

_FENCE = "```action"


def matches(request: Mapping[str, Any]) -> bool:
    """Whether an answer has to hold its action as a fenced block."""
    messages = as_list(request.get("messages"))
    system = as_object(messages[0]).get("content") if messages else None
    return not request.get("tools") and isinstance(system, str) and _FENCE in system


def native_tools(request: Mapping[str, Any]) -> set[str]:  # noqa: ARG001 - as in the other formats
    """Return none but those that every policy uses."""
    return set()


def render(turn: PolicyTurn, request: Mapping[str, Any]) -> PolicyTurn:  # noqa: ARG001 - as in the other formats
    """Write the turn with its call as a block in the text; only the first call, for there is one block an answer."""
    if not turn.calls:
        return turn
    name, arguments = turn.calls[0]
    action = json.dumps({"name": name, "arguments": arguments}, ensure_ascii=False)
    return PolicyTurn(f"{turn.text}\n\n{_FENCE}\n{action}\n```")
