"""SWE-agent's two dialects: functions (`bash`, `str_replace_editor`, `submit`), and text with a command in a block."""

from collections.abc import Mapping
from typing import Any

from synthbench.llm_gateway.domain.conversation import tools_offered
from synthbench.llm_gateway.sims.dialects.editor import in_editor, texts, workspace_of
from synthbench.llm_gateway.sims.dialects.shell import in_shell
from synthbench.llm_gateway.sims.player import Call, Turn

_TOOLS = {"bash", "read_file", "write_file", "edit_file", "search", "submit"}


def hears(request: Mapping[str, Any]) -> bool:
    """Whether a request offers its functions, and not the native ones."""
    offered = tools_offered(request)
    return {"bash", "submit"} <= offered and "read_file" not in offered


def tools(request: Mapping[str, Any]) -> set[str]:  # noqa: ARG001 - as the other dialects
    """All of them: what the editor does not do, the shell does."""
    return _TOOLS


def say(turn: Turn, request: Mapping[str, Any]) -> Turn:
    """A turn in its functions."""
    return Turn(turn.text, [_call(call, request) for call in turn.calls])


def _call(call: Call, request: Mapping[str, Any]) -> Call:
    if call[0] == "submit":
        return "submit", {}
    workspace = workspace_of(request) if "str_replace_editor" in tools_offered(request) else None
    edited = in_editor("str_replace_editor", call, workspace) if workspace else None
    return edited or ("bash", {"command": in_shell(call)})


def hears_text(request: Mapping[str, Any]) -> bool:
    """Whether a request has no tools, and its first two messages ask for a DISCUSSION and a command in backticks."""
    asked = "\n".join(texts(request)[:2])
    return not tools_offered(request) and "DISCUSSION" in asked and "```" in asked


def text_tools(request: Mapping[str, Any]) -> set[str]:  # noqa: ARG001 - as the other dialects
    """What a shell can do."""
    return _TOOLS


def say_text(turn: Turn, request: Mapping[str, Any]) -> Turn:  # noqa: ARG001 - as the other dialects
    """A turn as text; without a command where the policy calls no tool."""
    if not turn.calls:
        return turn
    commands = ["submit" if call[0] == "submit" else in_shell(call) for call in turn.calls]
    return Turn("DISCUSSION\n" + turn.text + "\n\n```\n" + "\n".join(commands) + "\n```")
