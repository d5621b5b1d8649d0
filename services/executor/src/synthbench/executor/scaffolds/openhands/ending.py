"""Reads the ending of an OpenHands conversation. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from synthbench.contracts.loose import as_object
from synthbench.contracts.records import Outcome
from synthbench.executor.domain.endings import AgentFailed, Ending, GaveUp, InfraFailure, LimitReached, Submitted


def ending_of(end: Mapping[str, Any], events: Sequence[Mapping[str, Any]], overflow: str = "") -> Ending:
    """Return the ending.

    Args:
        end: what the bridge left: `status`, `detail`.
        events: of the conversation, as the agent server has them.
        overflow: what the gateway said, if the last call was too long for the model.

    Raises:
        InfraFailure: there was no agent server.
    """
    status, detail = str(end.get("status", "")), str(end.get("detail", ""))
    if status == "no_server":
        raise InfraFailure(f"OpenHands' agent server could not be started: {detail}")
    if status == "finished":
        return _finished(events)
    if status == "stuck":
        return GaveUp("OpenHands found itself stuck in a loop")
    if status == "error":
        return _failed(events, overflow)
    if status == "server_gone":
        return AgentFailed(f"OpenHands' agent server is gone: {detail}")
    return AgentFailed(f"OpenHands ended with {status or 'no status'}{': ' if detail else ''}{detail}")


def _finished(events: Sequence[Mapping[str, Any]]) -> Ending:
    """Return the ending of a finished run: `finish` submits, an answer without a tool call only ends it."""
    for event in reversed(events):
        if event.get("kind") == "ActionEvent":
            action = as_object(event.get("action"))
            if event.get("tool_name") == "finish":
                return Submitted(str(action.get("message", "")))
            break
        if event.get("kind") == "MessageEvent" and event.get("source") == "agent":
            break
    return GaveUp("OpenHands stopped with an answer that calls no tool")


def _failed(events: Sequence[Mapping[str, Any]], overflow: str) -> Ending:
    errors = [event for event in events if event.get("kind") == "ConversationErrorEvent"]
    error = as_object(errors[-1]) if errors else {}
    code, detail = str(error.get("code", "")), str(error.get("detail", ""))
    if overflow:
        return LimitReached(Outcome.TOKEN_LIMIT, overflow)
    if code == "MaxIterationsReached":
        return LimitReached(Outcome.STEP_LIMIT, detail)
    return AgentFailed(f"OpenHands: {code or 'error'}: {detail[:1000]}")
