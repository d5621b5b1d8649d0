"""Limits all files of a sandbox together where no quota does: a command that writes too much is ended."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic

import structlog

from synthbench.sandbox.host.metrics import BACKGROUND_FAILURES
from synthbench.sandbox.host.running import RunningCommand
from synthbench.sandbox.tree.beneath import opened_root
from synthbench.sandbox.tree.walk import FolderWalk

_FIRST = 0.5  # seconds until a command is looked at; most have ended by then
_BETWEEN = 1.0
_SHARE = 10  # a look that takes long comes rarely: it may use this part of the time (50,000 files take 0.14 s)
_UNSEEN = 20  # commands too short to be met, after which one is looked at from its start
_LEAST = 4096  # bytes that an entry counts, however small: it takes an inode

HOW_DISK_IS_LIMITED = (
    "disk_mb: a folder of the host has no quota; the size of each file is limited, and all files together are counted "
    f"while a command runs, {_FIRST:g} s after its start and then every {_BETWEEN:g} s or more; a command that has "
    "written too much by then is ended"
)
"""For the record of each engine whose sandboxes `DiskWatch` limits."""


class DiskWatch:
    """Looks at the folders of one sandbox while its commands run.

    Args:
        folders: what counts.
        limit: bytes on disk.
        end: ends a command.
    """

    def __init__(self, folders: Sequence[Path], limit: int, end: Callable[[RunningCommand], Awaitable[None]]) -> None:
        self._folders = folders
        self._limit = limit
        self._end = end
        self._watched: dict[RunningCommand, asyncio.Task[None]] = {}
        self._full: set[RunningCommand] = set()
        self._ending: set[asyncio.Task[None]] = set()
        self._unseen = 0

    def watch(self, running: RunningCommand) -> None:
        """Watch a command for as long as it runs."""
        self._unseen += 1
        self._watched[running] = asyncio.create_task(self._watch(running))

    async def _watch(self, running: RunningCommand) -> None:
        """Watch a command; on a failure it is watched no more, and ends by its own limits of time and file size."""
        try:
            await self._look(running)
        except Exception as error:  # noqa: BLE001 - nobody waits for this task
            BACKGROUND_FAILURES.labels("disk watch").inc()
            structlog.get_logger("synthbench.sandbox").warning("disk watch", error=str(error) or type(error).__name__)

    async def _look(self, running: RunningCommand) -> None:
        await asyncio.sleep(0 if self._unseen > _UNSEEN else _FIRST)
        while True:
            self._unseen = 0
            began = monotonic()
            if await asyncio.to_thread(self.exceeded):
                self._full.add(running)
                if task := self._watched.pop(running, None):  # from here on nobody cancels it
                    self._ending.add(task)
                    task.add_done_callback(self._ending.discard)
                await self._end(running)
                return
            await asyncio.sleep(max(_BETWEEN, _SHARE * (monotonic() - began)))

    def forget(self, running: RunningCommand) -> bool:
        """Forget a command that ended; return whether it was ended for what it had written."""
        if task := self._watched.pop(running, None):
            task.cancel()
        if running in self._full:
            self._full.discard(running)
            return True
        return False

    async def aclose(self) -> None:
        """Stop watching every command."""
        for task in self._watched.values():
            task.cancel()
        if self._ending:
            await asyncio.wait(self._ending)

    def exceeded(self) -> bool:
        """Return whether the files are more than the limit; blocks."""
        count = _Count(self._limit)
        for folder in self._folders:
            try:
                with opened_root(folder) as root:
                    FolderWalk(count.add).run(root)
            except OSError:
                continue  # closed to us, or gone meanwhile
            except _Exceeded:
                return True
        return False


class _Exceeded(Exception):
    """There is more than may be; the rest need not be looked at."""


class _Count:
    """Bytes on disk of what was met so far."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._used = 0

    def add(self, folder: int, _depth: int) -> list[str]:
        """Count the entries of an open folder; the names of those that are folders."""
        folders: list[str] = []
        with suppress(OSError), os.scandir(folder) as entries:
            for entry in entries:
                with suppress(OSError):  # gone meanwhile
                    self._used += max(_LEAST, entry.stat(follow_symlinks=False).st_blocks * 512)
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.name)
                if self._used > self._limit:
                    raise _Exceeded
        return folders
