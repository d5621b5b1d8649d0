"""The kernel's notices of touched files. Events wait in its queue and are read when somebody asks.

A sandbox's files are folders of this host that its commands see through bind mounts: the same inodes, so what happens
inside is told outside. Source: inotify(7).
"""

import errno
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol, cast

NO_MORE = 0x00002000 | 0x00008000  # UNMOUNT, IGNORED
NAMES_CHANGED = 0x00000040 | 0x00000080 | 0x00000100 | 0x00000200  # MOVED_FROM, MOVED_TO, CREATE, DELETE
IS_FOLDER = 0x40000000
_IGNORED, _OVERFLOW = 0x00008000, 0x00004000
_ONLY_FOLDERS = 0x01000000
_TOUCHED = 0x00000002 | 0x00000004 | 0x00000008  # MODIFY, ATTRIB, CLOSE_WRITE
# Opening and reading are not asked for: a search through a big workspace would fill the queue.
_MASK = NAMES_CHANGED | _TOUCHED | _ONLY_FOLDERS
_INBOX_CAP = 65_536  # events that wait for somebody who does not ask; more are lost, and it is told so
_WATCHES = Path("/proc/sys/fs/inotify/max_user_watches")
_SANDBOXES = 16  # so many big ones fit into what the kernel grants a user; who needs more than that part walks


class FileEvent(NamedTuple):
    """One notice: `name` in the folder with this watch, or the folder itself where it is empty."""

    wd: int
    mask: int
    cookie: int
    name: str


class _Inotify(Protocol):
    def add_watch(self, path: str, mask: int) -> int: ...
    def rm_watch(self, wd: int) -> None: ...
    def read(self, timeout: int) -> Sequence[FileEvent]: ...
    def close(self) -> None: ...


@dataclass
class Inbox:
    """The notices of one tree; `lost` says that some are missing."""

    events: list[FileEvent] = field(default_factory=list[FileEvent])
    lost: bool = False
    watches: set[int] = field(default_factory=set[int])


class Notices:
    """One inotify instance for all trees of a sandbox; made with the first watch. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inotify: _Inotify | None = None
        self._inboxes: dict[int, Inbox] = {}
        self._most = 0
        self._closed = False

    def watch(self, folder: int, inbox: Inbox) -> int:
        """Be told of what happens to the names in an open folder (a descriptor); returns the watch.

        Raises:
            OSError: too many watches or instances, or no inotify here.
        """
        with self._lock:
            inotify = self._opened()
            if len(self._inboxes) >= self._most:
                raise OSError(errno.ENOSPC, "one sandbox has its part of the inotify watches already")
            # through the descriptor: a path could be swapped for a link meanwhile
            wd = inotify.add_watch(f"/proc/self/fd/{folder}", _MASK)
            self._inboxes[wd] = inbox
            inbox.watches.add(wd)
            return wd

    def take(self, inbox: Inbox) -> list[FileEvent] | None:
        """Return the events since the last call; None where some may be lost."""
        with self._lock:
            if self._inotify is None:
                return None
            for event in self._inotify.read(timeout=0):
                self._sort(event)
            events, lost = inbox.events, inbox.lost
            inbox.events, inbox.lost = [], False
            return None if lost else events

    def forget(self, inbox: Inbox) -> None:
        """Watch nothing for it any more."""
        with self._lock:
            for wd in inbox.watches:
                self._inboxes.pop(wd, None)
                try:
                    if self._inotify:
                        self._inotify.rm_watch(wd)
                except OSError:
                    continue  # it went with its folder
            inbox.watches.clear()
            inbox.events = []

    def close(self) -> None:
        """Give the instance back."""
        with self._lock:
            self._closed = True
            if self._inotify:
                self._inotify.close()
                self._inotify = None

    def _sort(self, event: FileEvent) -> None:
        if event.mask & _OVERFLOW:
            for inbox in self._inboxes.values():
                inbox.lost = True
            return
        inbox = self._inboxes.get(event.wd)
        if inbox is None:
            return
        if event.mask & _IGNORED:
            del self._inboxes[event.wd]
            inbox.watches.discard(event.wd)
        if len(inbox.events) >= _INBOX_CAP:
            inbox.lost = True
            inbox.events.clear()
        inbox.events.append(event)

    def _opened(self) -> _Inotify:
        if self._closed or sys.platform != "linux":
            raise OSError(errno.ENOSYS, "no inotify")
        if self._inotify is None:
            # PLC0415: there is no such package elsewhere; and it has no type stubs
            from inotify_simple import INotify  # noqa: PLC0415 - only there on Linux  # pyright: ignore[reportMissingTypeStubs] - it has none

            self._most = max(512, int(_WATCHES.read_text()) // _SANDBOXES)
            self._inotify = cast("_Inotify", INotify(nonblocking=True))
        return self._inotify
