"""Processes of this machine that belong to a sandbox. Linux only."""

import asyncio
import os
import signal
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from synthbench.sandbox.errors import SandboxError

MARK = "SYNTHBENCH_SANDBOX"
"""Environment variable by which commands of engines without namespaces are found."""
_SWEEPS = 200
_PAUSE = 0.01


async def kill_all(find: Callable[[], Iterable[int]]) -> None:
    """Kill what is found until nothing is found: what forks fast is met again.

    Raises:
        SandboxError: something is still there.
    """
    found: list[int] = []
    for _ in range(_SWEEPS):
        found = list(find())
        if not found:
            return
        kill(found)
        await asyncio.sleep(_PAUSE)
    raise SandboxError(f"processes {found} do not end", "look for processes in state D")


def kill(pids: Iterable[int]) -> None:
    """Kill processes that may be gone by now."""
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            continue


def of_uid(uid: int) -> Iterator[int]:
    """Processes of a uid; zombies left out."""
    for process in _all():
        try:
            if process.stat().st_uid == uid and b") Z" not in (process / "stat").read_bytes():
                yield int(process.name)
        except OSError:
            continue


def marked(mark: str, uid: int | None) -> Iterator[int]:
    """Processes of a uid, or whose environment carries a mark, or one that begins so if it ends with a dot."""
    needle = f"{MARK}={mark}".encode()
    for process in _all():
        try:
            if uid is not None and process.stat().st_uid == uid:
                if b") Z" not in (process / "stat").read_bytes():
                    yield int(process.name)
                continue
            variables = (process / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if any(item == needle or (needle.endswith(b".") and item.startswith(needle)) for item in variables):
            yield int(process.name)


def naming(text: str) -> Iterator[int]:
    """Processes whose command line names a path."""
    for process in _all():
        try:
            if text.encode() in (process / "cmdline").read_bytes():
                yield int(process.name)
        except OSError:
            continue


def _all() -> Iterator[Path]:
    try:
        found = list(Path("/proc").iterdir())
    except OSError:
        return
    own = str(os.getpid())
    yield from (path for path in found if path.name.isdigit() and path.name != own)
