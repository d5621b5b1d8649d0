"""The operations of the host on a workspace: blocking calls, for a thread."""

import os
import posixpath
import stat
from collections.abc import Collection, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from synthbench.sandbox.diff import Diff, PathChange, Snapshot
from synthbench.sandbox.domain.changes import compare
from synthbench.sandbox.domain.paths import checked_relative
from synthbench.sandbox.errors import PathRefused, SandboxError
from synthbench.sandbox.tree.archive import check_archive
from synthbench.sandbox.tree.beneath import FileOwner, located, open_folder, opened_root
from synthbench.sandbox.tree.install import apply, put_file, unpack
from synthbench.sandbox.tree.notices import Notices
from synthbench.sandbox.tree.old_texts import OldTexts
from synthbench.sandbox.tree.pack import DiffBuilder, pack_below, read_capped
from synthbench.sandbox.tree.scan import Scan
from synthbench.sandbox.tree.tracker import TreeTracker


@dataclass
class WorkspaceFiles:
    """A folder of the host that belongs to one sandbox.

    Args:
        sandbox: the sandbox's id; a snapshot of another sandbox is refused.
        root: the folder.
        workdir: how commands inside name it.
        contents: old texts, for patches.
        owner: who gets what is written.
        max_bytes: what one upload may bring.
        notices: tell what is touched, where they tell everything; None: each step walks.
    """

    sandbox: str
    root: Path
    workdir: str
    contents: OldTexts
    owner: FileOwner
    max_bytes: int
    notices: Notices | None = None

    def __post_init__(self) -> None:
        """Set up the tracker of the workspace's tree."""
        self._tracker = TreeTracker(self.sandbox, self._new_scan, self.notices)

    def read(self, path: str, max_bytes: int) -> bytes:
        """Return the content of a regular file of the workspace."""
        with self._at(path) as (folder, name):
            info = os.stat(name, dir_fd=folder, follow_symlinks=False)
            if not stat.S_ISREG(info.st_mode):
                raise PathRefused(f"{path!r} is no regular file", "list the folder to see what it is")
            if self.owner.uid is not None and info.st_nlink > 1 and info.st_uid != self.owner.uid:
                raise PathRefused(f"{path!r} is a hard link to a file of somebody else")
            data = read_capped(folder, name, max_bytes)
        if data is None:
            raise PathRefused(f"{path!r} is bigger than {max_bytes} bytes", "read a part of it with a command")
        return data

    def is_folder(self, path: str) -> bool:
        """Whether a path is a folder, or a link to one that stays inside."""
        try:
            with self._at(path) as (above, name):
                return stat.S_ISDIR(_mode(above, name))
        except PathRefused:
            return False

    def write(self, path: str, data: bytes, mode: int | None) -> None:
        """Put a file of the workspace in place, whole or not at all."""
        with self._at(path, make=True) as (folder, name):
            kind = _mode(folder, name)
            if name == "." or stat.S_ISDIR(kind):
                raise PathRefused(f"{path!r} is a folder", "give the name of a file")
            kept = stat.S_IMODE(kind) & 0o777 if stat.S_ISREG(kind) else 0o644
            put_file(folder, name, data, mode=kept if mode is None else mode & 0o777, owner=self.owner)

    def upload(self, archive: bytes, to: str) -> None:
        """Unpack a tar in the workspace, or nothing of it where a member is not harmless."""
        checked = check_archive(archive, max_bytes=self.max_bytes, workdir=self.workdir)
        with self._folder(to) as fd:
            unpack(fd, checked, owner=self.owner)

    def download(self, path: str) -> bytes:
        """Return a file or folder of the workspace as a tar."""
        with self._failures(path), opened_root(self.root) as root:
            snapshot = self._scan(root, None)
            top = self._relative(path)
            if top != "." and top not in snapshot.entries:
                raise PathRefused(f"{path!r} does not exist or may not leave the sandbox", "list the folder above it")
            return pack_below(root, top, snapshot, self.workdir)

    def snapshot(self) -> Snapshot:
        """Remember the workspace as it is now."""
        with self._failures("."), opened_root(self.root) as root, self._tracker.lock:
            return self._tracker.begin(root)

    def step(self, since: Snapshot, *, busy: bool) -> tuple[Diff, Snapshot]:
        """Return the changes since the snapshot of the step before, and a new snapshot.

        `busy` says that something in the sandbox runs.
        """
        self._own(since)
        with self._failures("."), opened_root(self.root) as root, self._tracker.lock:
            seen = self._tracker.step(root, busy=busy)
            changes = compare(since, seen.now, seen.touched if since is seen.before else None)
            diff = self._packed(root, since, seen.now, changes)
            unread = {path for path, _ in diff.refused}
            return diff, self._tracker.settle(since, diff.changes, unread)

    def diff(self, since: Snapshot) -> Diff:
        """Return everything that changed in the workspace since a snapshot."""
        self._own(since)
        with self._failures("."), opened_root(self.root) as root:
            now = self._scan(root, since)
            return self._packed(root, since, now, compare(since, now))

    def apply(self, archive: bytes, protected: Collection[str]) -> tuple[str, ...]:
        """Apply the archive of a diff to the workspace; return the paths that were left out, sorted."""
        checked = check_archive(archive, max_bytes=self.max_bytes, workdir=self.workdir)
        kept = {self._relative(path) for path in protected}
        with self._failures("."), opened_root(self.root) as root:
            return apply(root, checked, owner=self.owner, protected=kept)

    def close(self) -> None:
        """Watch nothing any more."""
        if self.notices:
            self.notices.close()

    def _scan(self, root: int, known: Snapshot | None) -> Snapshot:
        return self._new_scan(known).take(root, self.sandbox)

    def _new_scan(self, known: Snapshot | None) -> Scan:
        return Scan(self.workdir, self.contents, self.owner.uid, known)

    def _packed(self, root: int, since: Snapshot, now: Snapshot, changes: Sequence[PathChange]) -> Diff:
        return DiffBuilder(root, self.workdir, self.contents, since, now).build(changes)

    def _own(self, snapshot: Snapshot) -> None:
        if snapshot.sandbox != self.sandbox:
            raise SandboxError(f"the snapshot is of sandbox {snapshot.sandbox}, not of {self.sandbox}")

    def _relative(self, path: str) -> str:
        # "/workspace-2" is not below "/workspace": compare whole parts
        inside = posixpath.relpath(path, self.workdir) if path.startswith("/") else path
        try:
            return checked_relative(inside)
        except ValueError as error:
            raise PathRefused(f"the path {path!r} {error}", f"give a path inside {self.workdir}") from error

    @contextmanager
    def _at(self, path: str, *, make: bool = False) -> Generator[tuple[int, str]]:
        with (
            self._failures(path),
            opened_root(self.root) as root,
            located(root, path, workdir=self.workdir, make=self.owner if make else None) as place,
        ):
            yield place

    @contextmanager
    def _folder(self, path: str) -> Generator[int]:
        with self._at(path, make=True) as (above, name):
            if not _mode(above, name):
                os.mkdir(name, 0o755, dir_fd=above)
                self.owner.take_name(above, name)
            fd = open_folder(above, name)
            try:
                yield fd
            finally:
                os.close(fd)

    @contextmanager
    def _failures(self, path: str) -> Generator[None]:
        try:
            yield
        except (FileNotFoundError, NotADirectoryError) as error:
            if not self.root.is_dir():
                raise SandboxError(f"the workspace of {self.sandbox} is gone", "make a new sandbox") from error
            raise PathRefused(f"{path!r} does not exist", "list the folder above it") from error
        except (IsADirectoryError, PermissionError) as error:
            raise PathRefused(f"{path!r} cannot be used ({error.strerror})", "give another path") from error
        except OSError as error:
            mend = "free some space under the sandbox folder" if error.errno in _FULL else "look at the file system"
            raise SandboxError(f"the workspace of {self.sandbox} failed ({error})", mend) from error


_FULL = {28, 122}  # ENOSPC, EDQUOT


def _mode(folder: int, name: str) -> int:
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return 0
