"""Removes what killed engines left behind.

Each engine holds the lock of a folder of its own, `<root>/.engine-…`, as long as its process lives; each sandbox's
folder names its engine. A sandbox whose engine's lock is free has nobody any more.
"""

import asyncio
import fcntl
import os
import secrets
import time
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

import structlog

from synthbench.sandbox.host.folders import REMOVED_PREFIX, empty_removed, remove
from synthbench.sandbox.host.metrics import REAP_FAILED, REAPED
from synthbench.sandbox.host.sockets import tidy_links
from synthbench.sandbox.host.uids import claim_uid
from synthbench.sandbox.tree.removal import REMOVE_SECONDS

ENGINE_FILE = "engine"
_ENGINE_PREFIX = ".engine-"
_LOCK = ".lock"
_MAKING_SECONDS = 30.0
_log = structlog.get_logger("synthbench.sandbox")


@dataclass
class EngineFolder:
    """The folder of this engine process, whose lock it holds."""

    path: Path
    _lock: IO[str]

    def close(self) -> None:
        """Remove the engine's folder."""
        remove(self.path)
        _lock_of(self.path).unlink(missing_ok=True)
        self._lock.close()


@dataclass(frozen=True)
class Abandoned:
    """A sandbox whose engine process is dead."""

    name: str
    folder: Path
    owner: str
    uid: int | None


def open_engine_folder(root: Path) -> EngineFolder:
    """Make a folder for an engine of this process, and take its lock.

    Raises:
        OSError: it cannot be made.
    """
    path = root / f"{_ENGINE_PREFIX}{os.getpid()}-{secrets.token_hex(4)}"
    path.mkdir(mode=0o755)
    lock = _lock_of(path).open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    return EngineFolder(path, lock)


def abandoned(root: Path) -> Sequence[Abandoned]:
    """Find sandboxes of engines that are dead."""
    found: list[Abandoned] = []
    for folder in root.iterdir():
        if folder.name.startswith("."):
            continue
        try:
            engine = (folder / ENGINE_FILE).read_text()
            owner = (folder / "owner").read_text()
            uid = (folder / "workspace").lstat().st_uid
        except OSError:
            engine, owner, uid = (
                "",
                "unknown",
                0,
            )  # half made or half removed, by one that lives or was killed meanwhile
        if is_alive(root / engine) if engine else _young(folder):
            continue
        found.append(Abandoned(folder.name, folder, owner, uid if uid not in (0, os.geteuid()) else None))
    return found


async def reap(root: Path, end: Callable[[Abandoned], Awaitable[None]]) -> list[str]:
    """Take away what dead engines left; return the owners of those sandboxes.

    Args:
        root: of all engines.
        end: ends what is left of a sandbox's processes, and what the kernel keeps for it.
    """
    taken: list[str] = []
    for one in await asyncio.to_thread(abandoned, root):
        try:
            with _alone(one) as its_own:
                await end(its_own)
            await asyncio.to_thread(remove, one.folder, seconds=REMOVE_SECONDS)
        except Exception:  # noqa: BLE001 - whatever one folder holds, the others are still taken away
            REAP_FAILED.labels(root.name).inc()
            _log.exception("a left-behind sandbox could not be taken away", engine=root.name, sandbox=one.name)
            continue
        taken.append(one.owner)
        REAPED.labels(root.name).inc()
    await asyncio.to_thread(_tidy, root)
    return taken


@contextmanager
def _alone(left: Abandoned) -> Generator[Abandoned]:
    """Keep its uid from others meanwhile. Where a living sandbox of another engine has it by now, it is not told."""
    if left.uid is None:
        yield left
        return
    try:
        claim = claim_uid(left.uid)
    except OSError:
        yield replace(left, uid=None)
        return
    try:
        yield left
    finally:
        claim.release()


def _tidy(root: Path) -> None:
    for folder in root.glob(f"{_ENGINE_PREFIX}*"):
        if folder.suffix != _LOCK and not is_alive(folder):
            remove(folder)
            _lock_of(folder).unlink(missing_ok=True)
    for folder in root.glob(f"{REMOVED_PREFIX}*"):
        empty_removed(folder, seconds=REMOVE_SECONDS)
    tidy_links(root)


def _young(folder: Path) -> bool:
    try:
        return time.time() - folder.lstat().st_mtime < _MAKING_SECONDS
    except OSError:
        return True  # gone by now


def _lock_of(folder: Path) -> Path:
    return folder.with_name(folder.name + _LOCK)


def is_alive(folder: Path) -> bool:
    """Whether the process of an engine's folder still holds its lock."""
    try:
        with _lock_of(folder).open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False
