"""Opening paths below a folder whose owner is hostile and may change it under our hands.

Every step opens one name with `dir_fd` and O_NOFOLLOW; links are read and followed by us, and only while they stay
inside. So no race can lead out: at worst an operation is refused or meets another file of the same workspace.
"""

import errno
import fcntl
import os
import signal
import stat
import sys
from collections import deque
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from synthbench.sandbox.domain.paths import MAX_DEPTH, shown, within
from synthbench.sandbox.errors import PathRefused

_MAX_LINKS = 40  # as the kernel's own limit
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# O_NONBLOCK: opening a FIFO must not wait for its writer
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY


@dataclass(frozen=True, slots=True)
class FileOwner:
    """The owner of files that we put into the workspace; None where we are not root and own them anyway."""

    uid: int | None = None

    def take(self, fd: int) -> None:
        """Give an open file to the owner."""
        if self.uid is not None:
            os.fchown(fd, self.uid, self.uid)

    def take_name(self, folder: int, name: str) -> None:
        """Give a name (a link itself, not its target) to the owner."""
        if self.uid is not None:
            os.chown(name, self.uid, self.uid, dir_fd=folder, follow_symlinks=False)


@contextmanager
def opened_root(root: Path) -> Generator[int]:
    """The folder itself, as a descriptor."""
    fd = os.open(root, _FOLDER)
    try:
        yield fd
    finally:
        os.close(fd)


def open_folder(parent: int, name: str) -> int:
    """Open a folder, never through a link."""
    return os.open(name, _FOLDER, dir_fd=parent)


def open_regular(parent: int, name: str) -> int:
    """Open a regular file for reading; OSError with ELOOP or EINVAL where it is a link or something else."""
    fd = os.open(name, _READ, dir_fd=parent)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "not a regular file", name)
    return fd


def held_for_writing(file: int) -> bool:
    """Return whether anybody has a file that we hold for reading open for writing, or mapped so.

    The kernel grants a lease on reading only where nobody does. Who wants to write while we hold it waits for some
    microseconds. Source: F_SETLEASE in fcntl(2).
    """
    if sys.platform != "linux":
        return False
    # not SIGIO, which ends a process: that a writer came is of no interest
    fcntl.fcntl(file, fcntl.F_SETSIG, signal.SIGURG)
    try:
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as error:
        return error.errno == errno.EAGAIN  # other errors: this file system, or its owner, has no leases
    fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return False


@contextmanager
def located(root: int, path: str, *, workdir: str, make: FileOwner | None = None) -> Generator[tuple[int, str]]:
    """The open folder that holds `path`, and the last name in it ("." for the top); links on the way are followed.

    Args:
        root: descriptor of the workspace.
        path: relative, or absolute below `workdir`.
        workdir: how paths inside name the workspace.
        make: create missing folders for this owner.

    Raises:
        PathRefused: the path leads out, loops, or a folder on the way is missing.
    """
    walk = _Walk(root, path, workdir, make)
    try:
        yield walk.resolve()
    finally:
        walk.close()


@dataclass
class _Walk:
    root: int
    path: str
    workdir: str
    make: FileOwner | None
    _open: list[int] = field(default_factory=list[int])
    _todo: deque[str] = field(default_factory=deque[str])
    _links: int = 0

    def resolve(self) -> tuple[int, str]:
        if "\0" in self.path:
            raise PathRefused("a path with a NUL byte was asked for")
        self._add(self.path)
        while self._todo:
            name = self._todo.popleft()
            if name == "..":
                if not self._open:
                    raise self._refused("leads out of the workspace")
                os.close(self._open.pop())
                continue
            try:
                kind = os.stat(name, dir_fd=self._here, follow_symlinks=False).st_mode
            except FileNotFoundError:
                kind = 0
            except OSError as error:
                raise self._refused(str(error.strerror)) from error
            if stat.S_ISLNK(kind):
                self._follow(name)
            elif not self._todo:
                return self._here, name
            else:
                self._enter(name, missing=kind == 0)
        return self._here, "."

    @property
    def _here(self) -> int:
        return self._open[-1] if self._open else self.root

    def _add(self, path: str) -> None:
        if path.startswith("/"):
            inside = within(path, self.workdir)
            if inside is None:
                raise self._refused("leads out of the workspace")
            self.close()
            path = inside
        self._todo.extendleft(part for part in reversed(path.split("/")) if part not in {"", "."})

    def _follow(self, name: str) -> None:
        self._links += 1
        if self._links > _MAX_LINKS:
            raise self._refused("is a loop of links")
        try:
            self._add(os.readlink(name, dir_fd=self._here))
        except OSError as error:
            raise self._refused("changed while it was looked up") from error

    def _enter(self, name: str, *, missing: bool) -> None:
        if len(self._open) >= MAX_DEPTH:  # each is a descriptor of this process
            raise self._refused(f"is deeper than {MAX_DEPTH} folders")
        try:
            if missing and self.make is not None:
                os.mkdir(name, 0o755, dir_fd=self._here)
                self.make.take_name(self._here, name)
            self._open.append(open_folder(self._here, name))
        except OSError as error:
            reason = "does not exist" if missing else f"cannot be reached ({error.strerror})"
            raise self._refused(reason) from error

    def _refused(self, reason: str) -> PathRefused:
        return PathRefused(f"the path {shown(self.path)!r} {reason}", f"give a path inside {self.workdir}")

    def close(self) -> None:
        while self._open:
            os.close(self._open.pop())
