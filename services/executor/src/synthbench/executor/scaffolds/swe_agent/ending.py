"""Reads the ending of SWE-agent from its exit status; its exit code is always 0. Pure.

Source: `DefaultAgent.forward_with_handling`; "submitted (exit_…)" is what it hands in when something else ended it.
"""

import re
from collections.abc import Mapping
from typing import Any

from synthbench.contracts.loose import as_object
from synthbench.contracts.records import Outcome
from synthbench.executor.domain.endings import AgentFailed, Ending, GaveUp, LimitReached, Submitted

_LIMITS = {
    "exit_cost": Outcome.STEP_LIMIT,
    "exit_context": Outcome.TOKEN_LIMIT,
    "exit_command_timeout": Outcome.TIME_LIMIT,
    "exit_total_execution_time": Outcome.TIME_LIMIT,
}
_GAVE_UP = ("exit_forfeit", "exit_command")
_AUTOMATIC = re.compile(r"submitted \((\w+)\)")


def ending_of(record: Mapping[str, Any]) -> Ending:
    """Return the ending.

    Args:
        record: its `.traj`; empty where it wrote none.
    """
    status = str(as_object(record.get("info")).get("exit_status") or "")
    if status == "submitted":
        return Submitted()
    automatic = _AUTOMATIC.fullmatch(status)
    reason = automatic[1] if automatic else status
    if reason in _LIMITS:
        return LimitReached(_LIMITS[reason], f"a limit of SWE-agent's own: {status}")
    if reason in _GAVE_UP:
        return GaveUp(f"SWE-agent: {status}")
    if not record:
        return AgentFailed("SWE-agent left no .traj")
    return AgentFailed(f"SWE-agent: {status or 'no exit status'}")
