"""Looking at a workspace, or at a part of it: a walk that reads only what looks touched."""

import hashlib
import os
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice

from synthbench.sandbox.diff import PathType, Snapshot, SnapshotEntry
from synthbench.sandbox.domain.known_tree import WalkResult
from synthbench.sandbox.domain.paths import DELETED, MAX_DEPTH, is_text, safe_target, shown
from synthbench.sandbox.tree.beneath import held_for_writing, open_folder, open_regular
from synthbench.sandbox.tree.old_texts import TEXT_CAP, OldTexts

FILE_CAP = 64 * 1024 * 1024  # bytes of a file up to which it is read, hashed and archived
MAX_ENTRIES = 200_000
SCAN_SECONDS = 60.0  # 200,000 small files take 10 s
_MAX_PATH = 4095  # bytes, as the kernel's own limit: no plain program could name a longer one
_MAX_LETTERS = 64 * 1024 * 1024  # of all paths together, which are held in memory
_CHUNK = 1024 * 1024
# A file changed within one tick of the clock after it was hashed could keep its stamp: such young stamps are not
# trusted (git calls these files racily clean). File systems tick at most every 10 ms.
_YOUNG_NS = 100_000_000
_SPECIAL = stat.S_ISUID | stat.S_ISGID


@dataclass
class _Opened:
    """A folder in the middle of its walk: what is left of its names."""

    fd: int
    prefix: str
    names: Iterator[str]


@dataclass
class Scan:
    """One walk; what it finds is in `found`.

    Args:
        workdir: how links inside name the workspace.
        contents: takes the texts.
        owner: the sandbox's uid; a hard link to a file of somebody else is refused. None: not looked at.
        known: the last snapshot; what is unchanged since is not read again.
        room: paths that may still be looked at, whether they are taken in or refused.
        seconds: after which the rest is not looked at any more.
        entered: told of each folder (a descriptor, its path, "" for the top) before it is listed.
        busy: something in the sandbox runs; whether it holds a file open for writing is asked of each that is read.
    """

    workdir: str
    contents: OldTexts
    owner: int | None
    known: Snapshot | None = None
    room: int = MAX_ENTRIES
    seconds: float = SCAN_SECONDS
    entered: Callable[[int, str], None] | None = None
    busy: bool = False
    found: WalkResult = field(default_factory=WalkResult)

    def __post_init__(self) -> None:
        """Set up the entries of the last walk, and the age from which a time stamp can be trusted."""
        self._known: Mapping[str, SnapshotEntry] = self.known.entries if self.known else {}
        self._trusted_ns = self.known.taken_ns - _YOUNG_NS if self.known else 0
        self._until = time.monotonic() + self.seconds
        self._met = self._letters = 0

    def take(self, root: int, sandbox: str) -> Snapshot:
        """Walk the folder `root` (an open descriptor)."""
        now = time.time_ns()
        self._walk(root, "")
        return Snapshot(sandbox=sandbox, taken_ns=now, entries=self.found.entries, refused=listed(self.found.refused))

    def look(self, fd: int, name: str, path: str) -> None:
        """Look at the one name in the open folder `fd`, and at everything below it; gone is not found."""
        child = self._looked(fd, name, path)
        if child >= 0:
            try:
                self._walk(child, path + "/")
            finally:
                os.close(child)

    def _walk(self, top: int, prefix: str) -> None:
        """Look at everything below an open folder, each folder's names in order; `top` stays open.

        As nothing below `MAX_DEPTH` is entered, no more descriptors than that are open.
        """
        todo = [_Opened(top, prefix, self._listed(top, prefix))]
        try:
            while todo:
                here = todo[-1]
                name = next(here.names, None)
                if name is None or self._filled():
                    done = todo.pop()
                    if done.fd != top:
                        os.close(done.fd)
                    continue
                child = self._looked(here.fd, name, here.prefix + name)
                if child >= 0:
                    below = f"{here.prefix}{name}/"
                    todo.append(_Opened(child, below, iter(())))
                    todo[-1].names = self._listed(child, below)
        finally:
            for opened in todo:
                if opened.fd != top:
                    os.close(opened.fd)

    def _listed(self, fd: int, prefix: str) -> Iterator[str]:
        """The names of a folder in order, no more of them than may still be looked at."""
        folder = prefix.rstrip("/")
        if self.entered:
            self.entered(fd, folder)
        try:
            with os.scandir(fd) as entries:
                names = [entry.name for entry in islice(entries, self.room - self._met + 1)]
        except OSError as error:
            self._unread(folder or ".", error)
            return iter(())
        self.found.folders[folder] = names
        return iter(sorted(names))

    def _filled(self) -> bool:
        """Whether no more may be looked at; `found` says so then."""
        if not self.found.full:
            reason = ""
            if self._met >= self.room:
                reason = f"has more than {MAX_ENTRIES} paths; the rest was not looked at"
            elif self._letters > _MAX_LETTERS:
                reason = f"has paths of more than {_MAX_LETTERS} letters in all; the rest was not looked at"
            elif time.monotonic() > self._until:
                reason = f"took more than {self.seconds:g} s to look at; the rest was not looked at"
            if reason:
                self.found.full = True
                self.found.refused["."] = reason
        return self.found.full

    def _looked(self, fd: int, name: str, path: str) -> int:
        """Take one name in; the descriptor of a folder that is to be walked, else -1."""
        self._met += 1
        self._letters += len(path)
        try:
            return self._path(fd, name, path)
        except FileNotFoundError:
            return -1
        except OSError as error:
            self._unread(path, error)
            return -1

    def _unread(self, path: str, error: OSError) -> None:
        self._refuse(path, f"cannot be read ({error.strerror})")
        self.found.doubtful.add(path)  # who opens it again may do so where nobody is told

    def _path(self, fd: int, name: str, path: str) -> int:
        before = self._known.get(path)
        if before is not None and before.type == "file":
            info = os.stat(name, dir_fd=fd, follow_symlinks=False)
            if before.digest and _unchanged(before, info, self._trusted_ns):  # with the same ctime it has the same mode
                self.found.entries[path] = before
                self._doubt(path, info)
                return -1
        if reason := _bad_path(name, path):
            self._refuse(path, reason)
            return -1
        info = os.stat(name, dir_fd=fd, follow_symlinks=False)
        if stat.S_ISDIR(info.st_mode):
            return self._subfolder(fd, name, path, info)
        if stat.S_ISLNK(info.st_mode):
            self._link(fd, name, path, info)
        elif stat.S_ISREG(info.st_mode):
            self._file(fd, name, path, info)
        else:
            self._refuse(path, "is a device, a FIFO or a socket")
        return -1

    def _doubt(self, path: str, info: os.stat_result) -> None:
        if info.st_nlink > 1:
            self.found.doubtful.add(path)  # it can be written under its other name

    def _subfolder(self, fd: int, name: str, path: str, info: os.stat_result) -> int:
        if path.count("/") + 1 >= MAX_DEPTH:
            self._refuse(path, f"is deeper than {MAX_DEPTH} folders")
            return -1
        child = open_folder(fd, name)
        self.found.entries[path] = _entry("directory", info, None, 0)
        return child

    def _link(self, fd: int, name: str, path: str, info: os.stat_result) -> None:
        target = safe_target(path, os.readlink(name, dir_fd=fd), self.workdir)
        if target is None:
            self._refuse(path, "is a link that may lead out of the workspace")
            return
        data = target.encode()
        digest = digest_of(data)
        self.contents.keep(digest, data)
        self.found.entries[path] = _entry("symlink", info, digest, len(data))

    def _file(self, fd: int, name: str, path: str, info: os.stat_result) -> None:
        if info.st_mode & _SPECIAL:
            self._refuse(path, "is setuid or setgid")
            self.found.doubtful.add(path)  # the bits can go under another name of it
            return
        if self.owner is not None and info.st_nlink > 1 and info.st_uid != self.owner:
            self._refuse(path, "is a hard link to a file of somebody else")
            return
        if info.st_size > FILE_CAP:
            self.found.entries[path] = _entry("file", info, None, info.st_size)
            return
        digest, size, open_elsewhere = self._read(fd, name, info.st_size)
        entry = _entry("file", info, digest, size)
        self.found.entries[path] = unstamped(entry) if open_elsewhere else entry
        if open_elsewhere:
            self.found.doubtful.add(path)
        self._doubt(path, info)

    def _read(self, fd: int, name: str, expected: int) -> tuple[str, int, bool]:
        file = open_regular(fd, name)
        try:
            # asked before it is read: whoever comes later changes the stamp
            open_elsewhere = self.busy and held_for_writing(file)
            first = os.read(file, min(expected, TEXT_CAP) + 1)
            total, size = hashlib.sha256(first), len(first)
            while size <= FILE_CAP and (chunk := os.read(file, _CHUNK)):
                total.update(chunk)
                size += len(chunk)
        finally:
            os.close(file)
        digest = f"sha256:{total.hexdigest()}"
        if size == len(first):
            self.contents.keep(digest, first)
        return digest, size, open_elsewhere

    def _refuse(self, path: str, reason: str) -> None:
        self.found.refused[path] = reason


def _bad_path(name: str, path: str) -> str:
    """Why a path can stand in no record; empty where it can."""
    if not is_text(name):
        return "its name is not UTF-8"
    if len(path) * 4 > _MAX_PATH and len(path.encode()) > _MAX_PATH:
        return f"its path is longer than {_MAX_PATH} bytes"
    return "this name is reserved" if path == DELETED else ""


def listed(refused: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Refusals as they stand in snapshots and diffs."""
    return tuple(sorted((shown(path), reason) for path, reason in refused.items()))


def digest_of(data: bytes) -> str:
    """The digest as it stands in entries and records."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def unstamped(entry: SnapshotEntry) -> SnapshotEntry:
    """Return an entry without its times, so that its file is read again: it may be written without changing them."""
    return replace(entry, stamp=(0, 0, entry.stamp[2]))


def _entry(kind: PathType, info: os.stat_result, digest: str | None, size: int) -> SnapshotEntry:
    mode = 0o777 if kind == "symlink" else stat.S_IMODE(info.st_mode) & 0o777
    return SnapshotEntry(type=kind, mode=mode, digest=digest, size=size, stamp=_stamp(info))


def _stamp(info: os.stat_result) -> tuple[int, int, int]:
    return info.st_mtime_ns, info.st_ctime_ns, info.st_ino


def _unchanged(before: SnapshotEntry, info: os.stat_result, trusted_ns: int) -> bool:
    same = stat.S_ISREG(info.st_mode) and before.size == info.st_size and before.stamp == _stamp(info)
    return same and info.st_ctime_ns < trusted_ns
