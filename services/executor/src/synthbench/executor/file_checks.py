"""Looks at files that nobody trusts, in a process of its own: nothing of them is run, and a crash is this one's alone.

Reads a JSON list of [name, base64] from standard input; writes a list of [broken, findings], in the same order.
"""

import ast
import base64
import json
import os
import resource
import sys
import tomllib
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path

from pyflakes.checker import Checker  # pyright: ignore[reportMissingTypeStubs] - it has none

_MEMORY = 1 << 30
_CPU_SECONDS = 20
_NOBODY = 65534


def _python(text: str) -> int:
    return len(Checker(ast.parse(text), filename="a.py").messages)  # pyright: ignore[reportUnknownArgumentType, reportUnknownMemberType] - no stubs


def _json(text: str) -> int:
    json.loads(text)
    return 0


def _toml(text: str) -> int:
    tomllib.loads(text)
    return 0


_READERS: Mapping[str, Callable[[str], int]] = {".py": _python, ".json": _json, ".toml": _toml}


def look(name: str, data: bytes) -> tuple[bool, int]:
    """Return whether a file cannot be read, and the number of findings in it."""
    try:
        return False, _READERS[Path(name).suffix](data.decode())
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return True, 0


def confine() -> None:
    """Give up what is not needed for reading."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (_CPU_SECONDS, _CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if os.getuid() == 0:
        os.setgroups([])
        os.setgid(_NOBODY)
        os.setuid(_NOBODY)
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))


def main() -> None:
    """Read, look, write."""
    warnings.simplefilter("ignore")
    confine()
    files = json.load(sys.stdin)
    json.dump([look(name, base64.b64decode(data)) for name, data in files], sys.stdout)


if __name__ == "__main__":
    main()
