"""The native scaffold's request to sum up old turns."""

from collections.abc import Mapping
from typing import Any

from synthbench.contracts.loose import as_list, as_object
from synthbench.llm_gateway.sims.player import Turn

_BEGINS = "Condense the history of an agent's work."


def hears(request: Mapping[str, Any]) -> bool:
    """Whether a summary is wanted."""
    messages = as_list(request.get("messages"))
    return bool(messages) and str(as_object(messages[0]).get("content")).startswith(_BEGINS)


def tools(request: Mapping[str, Any]) -> set[str]:  # noqa: ARG001 - as the other dialects
    """None."""
    return set()


def say(turn: Turn, request: Mapping[str, Any]) -> Turn:  # noqa: ARG001 - as the other dialects
    """A policy knows by the number of its turns where it is."""
    return Turn("I looked at the files, and changed what I had planned so far. The rest of the plan is to be done.")
