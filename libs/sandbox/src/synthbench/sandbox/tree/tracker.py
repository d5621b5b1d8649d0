"""Knowing a tree of files at the cost of what changed in it: only what the kernel names is looked at again.

Whenever its notices may not tell everything, the whole tree is walked, and compared by time stamps: too many events
or folders, no watches left, a root that was replaced, no inotify here, and as long as something in the sandbox runs
(a file that is mapped into memory changes without a notice). So it is never wrong, only slower.

One tracker serves one root. The workspace has one; /tmp and the home can have theirs over the same `Notices`.
"""

import os
import posixpath
import threading
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field, replace

from synthbench.sandbox.diff import PathChange, Snapshot, SnapshotEntry
from synthbench.sandbox.domain.known_tree import KnownTree, WalkResult, above
from synthbench.sandbox.tree.beneath import open_folder
from synthbench.sandbox.tree.notices import IS_FOLDER, NAMES_CHANGED, NO_MORE, FileEvent, Inbox, Notices
from synthbench.sandbox.tree.scan import MAX_ENTRIES, Scan, listed, unstamped

_REST = 20  # steps that are walked before watching is tried again where it was not possible

NewScan = Callable[[Snapshot | None], Scan]
"""A walk that does not read again what is unchanged since a snapshot."""


@dataclass(frozen=True)
class TreeChange:
    """The tree at a step.

    Attributes:
        before: the snapshot of the step before.
        now: the new one.
        touched: the only paths in which they can differ; None: any.
    """

    before: Snapshot | None
    now: Snapshot
    touched: Collection[str] | None


@dataclass
class TreeTracker:
    """Keeps the last snapshot of one tree, and what the kernel says since.

    Use it under `lock`: one step at a time.

    Args:
        sandbox: whose snapshots these are.
        new_scan: looks at files.
        notices: where the kernel's word comes from; None: every step is a walk.
    """

    sandbox: str
    new_scan: NewScan
    notices: Notices | None
    lock: threading.Lock = field(default_factory=threading.Lock)
    _inbox: Inbox = field(default_factory=Inbox)
    _tree: KnownTree = field(default_factory=lambda: KnownTree(WalkResult(), {}))
    _last: Snapshot | None = None
    _paths: dict[int, str] = field(default_factory=dict[int, str])
    _watches: dict[str, int] = field(default_factory=dict[str, int])
    _root: tuple[int, int] | None = None
    """Device and inode of the root that is watched; None: it is not."""
    _rest: int = 0

    def begin(self, root: int) -> Snapshot:
        """Read everything under an open folder, and be told from here on."""
        self._rest = 0
        return self._walk(root, None, busy=False)

    def step(self, root: int, *, busy: bool) -> TreeChange:
        """Bring the snapshot up to date.

        Args:
            root: the open folder.
            busy: something in the sandbox runs, and may change mapped files without a notice.
        """
        before = self._last
        touched = self._touched_paths(root) if before and not busy else None
        if touched is None:
            return TreeChange(before, self._walk(root, before, busy=busy), None)
        assert self._last is not None
        return TreeChange(before, self._last, touched)

    def settle(self, root: Snapshot, changes: Iterable[PathChange], unread: Collection[str]) -> Snapshot:
        """Make the last snapshot say what was packed, where files changed between the look and the packing.

        Args:
            root: the baseline of these changes.
            changes: as packed.
            unread: paths of changes that could not be packed: they stay as they were in the baseline, and come again.
        """
        now = self._last
        assert now is not None
        mended = {change.path: _packed(now, change) for change in changes if change.path not in unread}
        mended |= {path: root.entries.get(path) for path in unread if _was_read(now.entries.get(path))}
        mended = {path: entry for path, entry in mended.items() if entry is not now.entries.get(path)}
        if mended:
            entries = dict(now.entries)
            for path, entry in mended.items():
                if entry is None:
                    entries.pop(path, None)
                else:
                    entries[path] = entry
            self._tree.entries = entries
            self._tree.doubtful.update(mended)
            self._last = replace(now, entries=entries)
        return self._last or now

    def _walk(self, root: int, known: Snapshot | None, *, busy: bool) -> Snapshot:
        self._paths.clear()
        self._watches.clear()
        if self.notices:
            self.notices.take(self._inbox)  # what comes from here on is about the new look
        watching = not busy and self.notices is not None and self._rest == 0
        self._rest = max(0, self._rest - 1)
        info = os.fstat(root)
        self._root = (info.st_dev, info.st_ino) if watching else None
        scan = self.new_scan(known)
        scan.entered, scan.busy = self._entered, busy
        snapshot = scan.take(root, self.sandbox)
        if scan.found.full:
            self._unwatch()
        self._tree = KnownTree(scan.found, dict(known.entries) if known and scan.found.refused else {})
        self._last = replace(snapshot, entries=self._tree.entries)
        return self._last

    def _entered(self, folder: int, path: str) -> None:
        if self._root is None or self.notices is None:
            return
        try:
            wd = self.notices.watch(folder, self._inbox)
        except OSError:
            self._unwatch()
            return
        # a folder that was moved has its watch already, under its old path
        self._paths[wd] = path
        self._watches[path] = wd

    def _unwatch(self) -> None:
        self._root = None
        self._rest = _REST
        if self.notices:
            self.notices.forget(self._inbox)

    def _touched_paths(self, root: int) -> set[str] | None:
        """Look at what was touched; None where that is not known."""
        info = os.fstat(root)
        if self.notices is None or self._root != (info.st_dev, info.st_ino):
            return None
        began = time.time_ns()
        events = self.notices.take(self._inbox)
        if events is None or self._last is None:
            return None
        whole, single = self._named(events)
        if "" in whole:
            return None
        touched = self._taken_in(root, whole, single)
        if touched is None:
            return None
        refused = listed(self._tree.refused) if touched else self._last.refused
        self._last = Snapshot(self.sandbox, began, self._tree.entries, refused)
        return touched

    def _taken_in(self, root: int, whole: set[str], single: set[str], *, links: bool = True) -> set[str] | None:
        if not whole and not single:
            return set()
        scan = self.new_scan(self._last)
        scan.entered = self._entered
        scan.room = MAX_ENTRIES - len(self._tree.entries)
        looked = self._look(root, scan, whole, single)
        if looked is None or self._root is None or scan.found.full:
            return None
        linked = scan.found.doubtful - self._tree.doubtful
        touched = self._tree.replace(looked, scan.found)
        others = self._taken_in(root, set(), self._linked_to(linked), links=False) if links else set[str]()
        return None if others is None else touched | others

    def _linked_to(self, paths: Collection[str]) -> set[str]:
        """Files that we know under another name than these new hard links, and did not know to have one."""
        entries = self._tree.entries
        inodes = {entries[path].stamp[2] for path in paths if path in entries}
        return {
            path
            for path, entry in (entries.items() if inodes else ())
            if entry.stamp[2] in inodes and entry.type == "file" and path not in self._tree.doubtful
        }

    def _named(self, events: Iterable[FileEvent]) -> tuple[set[str], set[str]]:
        """Folders to walk ("" for the top), and single paths to look at."""
        whole, single = set[str](), set(self._tree.doubtful)
        for event in events:
            folder = self._paths.get(event.wd)
            if folder is None:
                continue  # of a folder that has gone, or was moved: then the walk over its new place meets it
            if not event.name:
                if event.mask & NO_MORE and not folder:
                    whole.add("")
                continue  # the folder above it tells the same
            path = f"{folder}/{event.name}" if folder else event.name
            if event.mask & IS_FOLDER and event.mask & NAMES_CHANGED:
                whole.add(path)
            else:
                single.add(path)
        return whole, single

    def _look(self, root: int, scan: Scan, whole: set[str], single: set[str]) -> list[str] | None:
        looked: list[str] = []
        by_folder: dict[str, list[str]] = {}
        for path in sorted(whole | single):
            if not any(folder in whole for folder in above(path)):
                by_folder.setdefault(posixpath.dirname(path), []).append(path)
        for folder, paths in by_folder.items():
            if folder not in self._watches:
                continue  # it was not there before: whoever made it is named, too
            try:
                fd = _opened(root, folder)
            except OSError:
                return None  # it goes while we look
            try:
                looked += [path for path in paths if self._looked(fd, path, scan, whole)]
            finally:
                os.close(fd)
        return looked

    def _looked(self, folder: int, path: str, scan: Scan, whole: Collection[str]) -> bool:
        name = posixpath.basename(path)
        if path not in whole and path in self._watches and _same_folder(folder, name, self._tree.entries.get(path)):
            return False
        for old in self._tree.below(path):
            wd = self._watches.pop(old, None)
            if wd is not None and self._paths.get(wd) == old:
                del self._paths[wd]
        scan.look(folder, name, path)
        return True


def _opened(root: int, path: str) -> int:
    """A folder of the tree, reached without following a link; OSError where it is none."""
    fd = os.dup(root)
    for name in path.split("/") if path else ():
        try:
            child = open_folder(fd, name)
        finally:
            os.close(fd)
        fd = child
    return fd


def _same_folder(above_it: int, name: str, known: SnapshotEntry | None) -> bool:
    """Return whether it is the folder that is known, with the permissions that are known."""
    try:
        info = os.stat(name, dir_fd=above_it, follow_symlinks=False)
    except OSError:
        return False
    return known is not None and known.stamp[2] == info.st_ino and known.mode == info.st_mode & 0o777


def _packed(now: Snapshot, change: PathChange) -> SnapshotEntry | None:
    entry = now.entries.get(change.path)
    if entry is None or entry.digest == change.digest:
        return entry
    return replace(unstamped(entry), digest=change.digest, size=change.size)


def _was_read(entry: SnapshotEntry | None) -> bool:
    return entry is not None and entry.digest is not None
