"""Snapshots of a workspace, and the differences between them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

PathType = Literal["file", "symlink", "directory"]
ChangeKind = Literal["added", "modified", "deleted"]


@dataclass(frozen=True, slots=True)
class PathChange:
    """One path of the workspace that is not as it was.

    Attributes:
        path: relative to the workdir, with '/'.
        kind: what happened; a rename is one deleted and one added.
        type: what it is now, for a deleted path what it was.
        mode: permission bits.
        digest: "sha256:<hex>" of the content (of a link: of its target); None for folders and unread big files.
        size: bytes; 0 for folders.
    """

    path: str
    kind: ChangeKind
    type: PathType
    mode: int
    digest: str | None
    size: int


@dataclass(frozen=True, slots=True)
class SnapshotEntry:
    """One path of a snapshot; `stamp` is (mtime_ns, ctime_ns, inode), by which it is not read twice."""

    type: PathType
    mode: int
    digest: str | None
    size: int
    stamp: tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A baseline of a workspace. Opaque, and only good for the sandbox that took it."""

    sandbox: str
    taken_ns: int
    entries: Mapping[str, SnapshotEntry]
    refused: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Diff:
    """The changes of a workspace since a snapshot.

    Attributes:
        changes: sorted by path.
        archive: tar, the same bytes for the same changes: added and modified files, folders and safe links; the
            deleted paths are a JSON list in the member ".synthbench-deleted". For `Sandbox.apply`.
        patch: a git-style unified diff of the texts, for people and exports; other files are only named.
        digest: "sha256:<hex>" of the archive.
        refused: (path, reason) of what is not in the archive: devices, setuid files, links out, what is too big.
    """

    changes: tuple[PathChange, ...]
    archive: bytes = field(repr=False)
    patch: str = field(repr=False)
    digest: str
    refused: tuple[tuple[str, str], ...]
