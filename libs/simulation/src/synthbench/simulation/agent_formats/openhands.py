"""The format of OpenHands: `terminal`, `file_editor` and `finish`."""

from collections.abc import Mapping
from typing import Any

from synthbench.simulation.agent_formats.editor import in_editor, workspace_of
from synthbench.simulation.agent_formats.shell import in_shell
from synthbench.simulation.attempt import PolicyCall, PolicyTurn
from synthbench.wire.completions import tools_offered

_TOOLS = {"bash", "read_file", "write_file", "edit_file", "search", "submit"}


def matches(request: Mapping[str, Any]) -> bool:
    """Whether a request offers its tools."""
    return {"terminal", "finish"} <= tools_offered(request)


def native_tools(request: Mapping[str, Any]) -> set[str]:  # noqa: ARG001 - as in the other formats
    """Return all of them: what the editor cannot do, the terminal does."""
    return _TOOLS


def render(turn: PolicyTurn, request: Mapping[str, Any]) -> PolicyTurn:
    """Write a turn as calls of OpenHands' tools."""
    return PolicyTurn(turn.text, [_call(call, request) for call in turn.calls])


def _call(call: PolicyCall, request: Mapping[str, Any]) -> PolicyCall:
    if call[0] == "submit":
        return "finish", {"message": call[1].get("summary", "")}
    workspace = workspace_of(request) if "file_editor" in tools_offered(request) else None
    edited = in_editor("file_editor", call, workspace) if workspace else None
    return edited or ("terminal", {"command": in_shell(call)})
