"""The two formats of SWE-agent: functions (`bash`, `str_replace_editor`, `submit`), and text with a command in it."""

from collections.abc import Mapping
from typing import Any

from synthbench.simulation.agent_formats.editor import in_editor, workspace_of
from synthbench.simulation.agent_formats.shell import in_shell
from synthbench.simulation.attempt import PolicyCall, PolicyTurn
from synthbench.wire.completions import message_texts, tools_offered

_TOOLS = {"bash", "read_file", "write_file", "edit_file", "search", "submit"}


def matches(request: Mapping[str, Any]) -> bool:
    """Whether a request offers its functions, and not the native ones."""
    offered = tools_offered(request)
    return {"bash", "submit"} <= offered and "read_file" not in offered


def native_tools(request: Mapping[str, Any]) -> set[str]:  # noqa: ARG001 - as in the other formats
    """Return all of them: what the editor cannot do, the shell does."""
    return _TOOLS


def render(turn: PolicyTurn, request: Mapping[str, Any]) -> PolicyTurn:
    """Write a turn as calls of SWE-agent's functions."""
    return PolicyTurn(turn.text, [_call(call, request) for call in turn.calls])


def _call(call: PolicyCall, request: Mapping[str, Any]) -> PolicyCall:
    if call[0] == "submit":
        return "submit", {}
    workspace = workspace_of(request) if "str_replace_editor" in tools_offered(request) else None
    edited = in_editor("str_replace_editor", call, workspace) if workspace else None
    return edited or ("bash", {"command": in_shell(call)})


def matches_text(request: Mapping[str, Any]) -> bool:
    """Whether a request has no tools, and its first two messages ask for a DISCUSSION and a command in backticks."""
    prompt = "\n".join(message_texts(request)[:2])
    return not tools_offered(request) and "DISCUSSION" in prompt and "```" in prompt


def render_text(turn: PolicyTurn, request: Mapping[str, Any]) -> PolicyTurn:  # noqa: ARG001 - as in the other formats
    """Write a turn as text; without a command where the policy calls no tool."""
    if not turn.calls:
        return turn
    commands = ["submit" if call[0] == "submit" else in_shell(call) for call in turn.calls]
    return PolicyTurn("DISCUSSION\n" + turn.text + "\n\n```\n" + "\n".join(commands) + "\n```")
