"""The native scaffold's request to sum up old turns."""

from collections.abc import Mapping
from typing import Any

from synthbench.contracts.loose import as_list, as_object
from synthbench.simulation.attempt import PolicyTurn

_SUMMARY = "I looked at the files, and changed what I had planned so far. The rest of the plan is to be done."
_BEGINS = "Condense the history of an agent's work."


def matches(request: Mapping[str, Any]) -> bool:
    """Whether a summary is wanted."""
    messages = as_list(request.get("messages"))
    return bool(messages) and str(as_object(messages[0]).get("content")).startswith(_BEGINS)


def native_tools(request: Mapping[str, Any]) -> set[str]:  # noqa: ARG001 - as in the other formats
    """Return none: a summary calls no tool."""
    return set()


def render(turn: PolicyTurn, request: Mapping[str, Any]) -> PolicyTurn:  # noqa: ARG001 - as in the other formats
    """Return one summary for all: a policy knows by the number of its turns how far it is."""
    return PolicyTurn(_SUMMARY)
