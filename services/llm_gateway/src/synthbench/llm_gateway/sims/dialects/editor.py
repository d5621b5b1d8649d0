"""Native file tools as the commands `view` and `str_replace` of the editor that several agents share."""

import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from synthbench.contracts.loose import as_list, as_object
from synthbench.llm_gateway.sims.player import Call

_WORKSPACE = re.compile(r"[Ww]orkspace is `?(/[^\s`]+?)`?[.\s]")


def texts(request: Mapping[str, Any]) -> list[str]:
    """All that the messages of a chat completion request say, one text a message."""
    said: list[str] = []
    for message in as_list(request.get("messages")):
        content = as_object(message).get("content")
        parts = [as_object(part).get("text") for part in as_list(content)]
        said.append(content if isinstance(content, str) else "\n".join(str(part) for part in parts if part))
    return said


def workspace_of(request: Mapping[str, Any]) -> PurePosixPath | None:
    """The folder that a request names in "The workspace is /a/b."; None where it names none."""
    for text in texts(request):
        if found := _WORKSPACE.search(text + "\n"):
            return PurePosixPath(found[1])
    return None


def in_editor(tool: str, call: Call, workspace: PurePosixPath) -> Call | None:
    """Return the editor's call; None for what it has no command for. Its paths are absolute."""
    name, given = call
    path = str(workspace / str(given.get("path", "")))
    if name == "read_file":
        return tool, {"command": "view", "path": path}
    if name == "edit_file":
        told = {"old_str": given["old_text"], "new_str": given["new_text"]}
        return tool, {"command": "str_replace", "path": path, **told}
    return None
