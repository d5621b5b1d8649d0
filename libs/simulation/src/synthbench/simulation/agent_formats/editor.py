"""Native file tools as the commands `view` and `str_replace` of the editor that several agents share."""

import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from synthbench.simulation.attempt import PolicyCall
from synthbench.wire.completions import message_texts

_WORKSPACE = re.compile(r"[Ww]orkspace is `?(/[^\s`]+?)`?[.\s]")


def workspace_of(request: Mapping[str, Any]) -> PurePosixPath | None:
    """Return the folder that a request names in "The workspace is /a/b."; None where it names none."""
    for text in message_texts(request):
        if found := _WORKSPACE.search(text + "\n"):
            return PurePosixPath(found[1])
    return None


def in_editor(tool: str, call: PolicyCall, workspace: PurePosixPath) -> PolicyCall | None:
    """Return the editor's call; None for what it has no command for. Its paths are absolute."""
    name, given = call
    path = str(workspace / str(given.get("path", "")))
    if name == "read_file":
        return tool, {"command": "view", "path": path}
    if name == "edit_file":
        fields = {"old_str": given["old_text"], "new_str": given["new_text"]}
        return tool, {"command": "str_replace", "path": path, **fields}
    return None
