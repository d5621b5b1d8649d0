"""Removing a tree that a hostile owner made: neither its depth, nor its names, nor its modes can keep it from going.

Folders are never descended into by a path or by recursion. The tree is flattened instead: whatever lies in a folder of
the top is renamed up into the top before that folder goes, so two open descriptors suffice for any depth and any
length of path, and the memory does not grow with the number of entries.
"""

import errno
import fcntl
import os
import secrets
import stat
import struct
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

REMOVE_SECONDS = 60.0
"""Seconds after which a removal gives up until somebody tries again; 100,000 entries take about 1.5 s."""
_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_STUCK_PASSES = 3  # looks at a folder in a row of which nothing could be taken away
_MOST_IN_PLACE = 64  # folders that cannot be moved (mount points) below one another
_GET_FLAGS, _SET_FLAGS = 0x80086601, 0x40086602  # ioctl_iflags(2): FS_IOC_GETFLAGS, FS_IOC_SETFLAGS
_IMMUTABLE, _APPEND_ONLY = 0x10, 0x20


def remove_tree(folder: Path, *, seconds: float = REMOVE_SECONDS) -> bool:
    """Remove a folder and everything in it; what is not there is fine.

    Returns:
        Whether it is gone. It may not be after `seconds`, or where the file system forbids it; a next call goes on.
    """
    try:
        above = os.open(folder.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return not folder.exists()
    try:
        return remove_below(above, folder.name, seconds=seconds)
    finally:
        os.close(above)


def remove_below(above: int, name: str, *, seconds: float = REMOVE_SECONDS) -> bool:
    """Remove the one name (a folder with all that is in it, or anything else) from the open folder `above`.

    A link is removed, never followed. Returns as `remove_tree` does.
    """
    deadline = time.monotonic() + seconds
    if not _is_folder(above, name):
        return _tried(lambda: os.unlink(name, dir_fd=above), above, name)
    top = _opened(above, name)
    if top < 0:
        return _tried(lambda: os.rmdir(name, dir_fd=above), above, name)
    try:
        emptied = _Flattening(top, deadline).run()
    finally:
        os.close(top)
    return emptied and _tried(lambda: os.rmdir(name, dir_fd=above), above, name)


class _Flattening:
    """Empties the open folder `top` until `deadline` (of `time.monotonic`)."""

    def __init__(self, top: int, deadline: float) -> None:
        self._top = top
        self._deadline = deadline
        self._prefix = secrets.token_hex(8)  # no name of the tree begins so
        self._moved = 0
        self._changes = 0

    def run(self) -> bool:
        """Take everything out; whether nothing is left."""
        stuck = 0
        while stuck < _STUCK_PASSES and not self._over:
            before = self._changes
            if self._pass(self._top, 0) == 0:
                return True
            stuck = 0 if self._changes > before else stuck + 1
        return False

    @property
    def _over(self) -> bool:
        return time.monotonic() > self._deadline

    def _pass(self, folder: int, depth: int) -> int:
        """Go once through an open folder of the tree; how many names were met (new ones may come in meanwhile)."""
        met = 0
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    met += 1
                    if self._over:
                        break
                    self._changes += self._take(folder, entry.name, depth)
        except OSError:
            return met + 1
        return met

    def _take(self, folder: int, name: str, depth: int) -> bool:
        """Take a name away, or move it up; whether it is gone from this folder."""
        if not _is_folder(folder, name):
            return _tried(lambda: os.unlink(name, dir_fd=folder), folder, name)
        if _succeeds(lambda: os.rmdir(name, dir_fd=folder)):
            return True
        if folder != self._top and self._move_up(folder, name):
            return True
        return self._empty_in_place(folder, name, depth)

    def _move_up(self, folder: int, name: str) -> bool:
        self._moved += 1
        above = f"{self._prefix}{self._moved}"
        return _tried(lambda: os.rename(name, above, src_dir_fd=folder, dst_dir_fd=self._top), folder, name)

    def _empty_in_place(self, folder: int, name: str, depth: int) -> bool:
        """Empty a folder at the top, or one that cannot be moved up; its own folders are moved, not descended into."""
        child = _opened(folder, name) if depth < _MOST_IN_PLACE else -1
        if child < 0:
            return False
        try:
            self._pass(child, depth + 1)
        finally:
            os.close(child)
        return _tried(lambda: os.rmdir(name, dir_fd=folder), folder, name)


def _opened(above: int, name: str) -> int:
    """A folder that we may list and change, through no link; -1 where that cannot be had."""
    try:
        folder = os.open(name, _OPEN, dir_fd=above)
    except OSError:
        _unlock(above, name)
        try:
            folder = os.open(name, _OPEN, dir_fd=above)
        except OSError:
            return -1
    if os.geteuid() != 0:  # root needs no rights
        with suppress(OSError):
            if os.fstat(folder).st_mode & 0o700 != 0o700:
                os.fchmod(folder, 0o700)
    return folder


def _tried(work: Callable[[], object], folder: int, name: str) -> bool:
    """Do something to a name, once more after what forbids it was taken away; whether it is done, or was by others."""
    return _succeeds(work) or (_unlocked(folder, name) and _succeeds(work))


def _succeeds(work: Callable[[], object]) -> bool:
    try:
        work()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def _unlocked(folder: int, name: str) -> bool:
    """Give ourselves the rights to a name that could not be taken away, and to its folder."""
    _clear_flags(folder)
    _unlock(folder, name)
    return True


def _unlock(above: int, name: str) -> None:
    """Make a name ours to change: a folder's mode, and the flags that forbid it even root."""
    with suppress(OSError):
        handle = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=above)
        try:
            mode = os.fstat(handle).st_mode
            if stat.S_ISDIR(mode):
                # through /proc, as a mode cannot be set by a handle alone; a name could be a link by now
                os.chmod(f"/proc/self/fd/{handle}", 0o700)  # noqa: PTH101 - a descriptor
        finally:
            os.close(handle)
        if stat.S_ISDIR(mode) or stat.S_ISREG(mode):
            opened = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=above)
            try:
                _clear_flags(opened)
            finally:
                os.close(opened)


def _clear_flags(opened: int) -> None:
    """Take away `immutable` and `append only` (chattr +i, +a), where we may. Source: ioctl_iflags(2)."""
    if sys.platform != "linux":
        return
    with suppress(OSError):
        flags = struct.unpack("i", fcntl.ioctl(opened, _GET_FLAGS, bytes(4)))[0]
        if flags & (_IMMUTABLE | _APPEND_ONLY):
            fcntl.ioctl(opened, _SET_FLAGS, struct.pack("i", flags & ~(_IMMUTABLE | _APPEND_ONLY)))


def _is_folder(above: int, name: str) -> bool:
    try:
        return stat.S_ISDIR(os.stat(name, dir_fd=above, follow_symlinks=False).st_mode)
    except OSError as error:
        return error.errno not in {errno.ENOENT, errno.ENOTDIR}
