"""Native tool calls, written as shell commands for agents that have a shell and little else. Pure."""

import shlex
from pathlib import PurePosixPath
from typing import Any

from synthbench.simulation.attempt import PolicyCall

_REPLACE = """\
import sys
path, old, new = sys.argv[1:]
text = open(path).read()
if text.count(old) != 1:
    sys.exit(f"the old text is there {text.count(old)} times")
open(path, "w").write(text.replace(old, new))
"""


def in_shell(call: PolicyCall) -> str:
    """Return a command that does what a native tool does, `submit` excepted.

    Raises:
        KeyError: no such native tool.
    """
    name, given = call
    return {"bash": _bash, "read_file": _read, "write_file": _write, "edit_file": _edit, "search": _search}[name](given)


def _bash(given: dict[str, Any]) -> str:
    return str(given["command"])


def _read(given: dict[str, Any]) -> str:
    return f"cat -n {shlex.quote(given['path'])}"


def _write(given: dict[str, Any]) -> str:
    path = PurePosixPath(given["path"])
    folder = "" if str(path.parent) == "." else f"mkdir -p {shlex.quote(str(path.parent))} && "
    return f"{folder}printf %s {shlex.quote(given['content'])} > {shlex.quote(str(path))}"


def _edit(given: dict[str, Any]) -> str:
    return shlex.join(["python3", "-c", _REPLACE, given["path"], given["old_text"], given["new_text"]])


def _search(given: dict[str, Any]) -> str:
    return f"grep -rnE --exclude-dir=.git {shlex.quote(given['pattern'])} {shlex.quote(given.get('path', '.'))}"
