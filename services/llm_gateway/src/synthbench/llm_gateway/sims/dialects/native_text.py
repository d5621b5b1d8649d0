"""The native scaffold's text actions, for requests without tools whose system prompt asks for them."""

import json
from collections.abc import Mapping
from typing import Any

from synthbench.contracts.loose import as_list, as_object
from synthbench.llm_gateway.sims.player import Turn

_FENCE = "```action"


def hears(request: Mapping[str, Any]) -> bool:
    """Whether an answer has to hold its action as a fenced block."""
    messages = as_list(request.get("messages"))
    system = as_object(messages[0]).get("content") if messages else None
    return not request.get("tools") and isinstance(system, str) and _FENCE in system


def tools(request: Mapping[str, Any]) -> set[str]:  # noqa: ARG001 - as the other dialects
    """Those that every policy knows."""
    return set()


def say(turn: Turn, request: Mapping[str, Any]) -> Turn:  # noqa: ARG001 - as the other dialects
    """The turn with its call as a block in the text; only the first call, for there is one block an answer."""
    if not turn.calls:
        return turn
    name, arguments = turn.calls[0]
    action = json.dumps({"name": name, "arguments": arguments}, ensure_ascii=False)
    return Turn(f"{turn.text}\n\n{_FENCE}\n{action}\n```")
