"""OpenHands' dialect: `terminal`, `file_editor` and `finish`."""

from collections.abc import Mapping
from typing import Any

from synthbench.llm_gateway.domain.conversation import tools_offered
from synthbench.llm_gateway.sims.dialects.editor import in_editor, workspace_of
from synthbench.llm_gateway.sims.dialects.shell import in_shell
from synthbench.llm_gateway.sims.player import Call, Turn

_TOOLS = {"bash", "read_file", "write_file", "edit_file", "search", "submit"}


def hears(request: Mapping[str, Any]) -> bool:
    """Whether a request offers its tools."""
    return {"terminal", "finish"} <= tools_offered(request)


def tools(request: Mapping[str, Any]) -> set[str]:  # noqa: ARG001 - as the other dialects
    """All of them: what the editor does not do, the terminal does."""
    return _TOOLS


def say(turn: Turn, request: Mapping[str, Any]) -> Turn:
    """A turn in its tools."""
    return Turn(turn.text, [_call(call, request) for call in turn.calls])


def _call(call: Call, request: Mapping[str, Any]) -> Call:
    if call[0] == "submit":
        return "finish", {"message": call[1].get("summary", "")}
    workspace = workspace_of(request) if "file_editor" in tools_offered(request) else None
    edited = in_editor("file_editor", call, workspace) if workspace else None
    return edited or ("terminal", {"command": in_shell(call)})
