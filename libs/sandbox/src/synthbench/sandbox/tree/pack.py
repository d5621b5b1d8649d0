"""Reading a workspace out into archives."""

import os
import posixpath
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from synthbench.sandbox.diff import Diff, PathChange, Snapshot, SnapshotEntry
from synthbench.sandbox.domain.patch import Side, file_patch
from synthbench.sandbox.domain.paths import safe_target
from synthbench.sandbox.errors import PathRefused
from synthbench.sandbox.tree.archive import Member, Packer
from synthbench.sandbox.tree.beneath import located, open_regular
from synthbench.sandbox.tree.old_texts import TEXT_CAP, OldTexts
from synthbench.sandbox.tree.scan import FILE_CAP, digest_of

ARCHIVE_CAP = 256 * 1024 * 1024  # bytes of all files in one archive; it is held in memory
_PATCH_CAP = 4 * 1024 * 1024  # characters of a patch; further files are only named


@dataclass
class DiffBuilder:
    """Makes one diff out of two snapshots and the workspace as it is now."""

    root: int
    workdir: str
    contents: OldTexts
    old: Snapshot
    new: Snapshot
    _packer: Packer = field(default_factory=Packer)
    _patch: list[str] = field(default_factory=list[str])
    _patch_size: int = 0
    _size: int = 0
    _refused: dict[str, str] = field(default_factory=dict[str, str])

    def build(self, changes: Sequence[PathChange]) -> Diff:
        """Read what changed, and pack it."""
        if self.new.refused is not self.old.refused:
            known = set(self.old.refused)
            self._refused = dict(refusal for refusal in self.new.refused if refusal not in known)
        # as the deletions stand first, whoever reads the archive as a stream knows them before anything else
        self._packer.add_deletions([change.path for change in changes if change.kind == "deleted"])
        final = tuple(self._take(change) for change in changes)
        archive = self._packer.finish()
        return Diff(
            changes=final,
            archive=archive,
            patch="".join(self._patch),
            digest=digest_of(archive),
            refused=tuple(sorted(self._refused.items())),
        )

    def _take(self, change: PathChange) -> PathChange:
        if change.kind == "deleted":
            self._note(change, None, None)
            return change
        if change.type == "directory":
            self._packer.add(Member(path=change.path, type="directory", mode=change.mode))
            self._note(change, None, None)
            return change
        try:
            member = read_member(self.root, change.path, self.new.entries[change.path], self.workdir)
        except (OSError, PathRefused) as error:
            self._refused[change.path] = f"cannot be read ({error})"
            return change
        if isinstance(member, str) or self._size + len(member.data) > ARCHIVE_CAP:
            self._refused[change.path] = member if isinstance(member, str) else "does not fit into the archive any more"
            return change
        self._size += len(member.data)
        self._packer.add(member)
        content = member.target.encode() if member.type == "symlink" else member.data
        self._note(change, content, member)
        # what was packed counts, should it have changed since the walk
        return replace(change, digest=digest_of(content), size=len(content))

    def _note(self, change: PathChange, content: bytes | None, member: Member | None) -> None:
        before = self.old.entries.get(change.path)
        old = self._old_side(before)
        new = Side(_git_mode(member.type, member.mode), content) if member and content is not None else None
        if new and new.content is not None and len(new.content) > TEXT_CAP:
            new = Side(new.mode, None)
        if old is None and new is None:
            return
        if self._patch_size > _PATCH_CAP:
            text = f"# {change.path!r} {change.kind}: left out, the patch is full\n"
        else:
            text = file_patch(change.path, old, new)
        self._patch_size += len(text)
        self._patch.append(text)

    def _old_side(self, entry: SnapshotEntry | None) -> Side | None:
        if entry is None or entry.type == "directory":
            return None
        return Side(_git_mode(entry.type, entry.mode), self.contents.get(entry.digest) if entry.size else b"")


def read_member(root: int, path: str, entry: SnapshotEntry, workdir: str) -> Member | str:
    """Return a file or link as an archive member, or the reason why it may not be one."""
    folder, name = posixpath.split(path)
    with located(root, f"{folder}/." if folder else ".", workdir=workdir) as (above, last):
        here = os.open(last, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=above)
        try:
            if entry.type == "symlink":
                target = safe_target(path, os.readlink(name, dir_fd=here), workdir)
                if target is None:
                    return "is a link that may lead out of the workspace"
                return Member(path=path, type="symlink", mode=0o777, target=target)
            data = read_capped(here, name, FILE_CAP)
        finally:
            os.close(here)
    if data is None:
        return f"is bigger than {FILE_CAP} bytes"
    return Member(path=path, type="file", mode=entry.mode, data=data)


def read_capped(folder: int, name: str, cap: int) -> bytes | None:
    """Read a regular file whole; None where it is larger than the limit."""
    fd = open_regular(folder, name)
    try:
        parts: list[bytes] = []
        size = 0
        # stop one byte behind the cap: a sparse file of a terabyte costs nothing
        while chunk := os.read(fd, min(1024 * 1024, cap + 1 - size)):
            parts.append(chunk)
            size += len(chunk)
            if size > cap:
                return None
        return b"".join(parts)
    finally:
        os.close(fd)


def pack_below(root: int, top: str, snapshot: Snapshot, workdir: str) -> bytes:
    """Everything below the folder `top` ("." for all), or the one file of that name."""
    packer = Packer()
    size = 0
    for name, path, entry in _below(top, snapshot):
        if entry.type == "directory":
            packer.add(Member(path=name, type="directory", mode=entry.mode))
            continue
        member = read_member(root, path, entry, workdir)
        if isinstance(member, str):
            continue
        size += len(member.data)
        if size > ARCHIVE_CAP:
            raise PathRefused(f"{top!r} is bigger than {ARCHIVE_CAP} bytes", "download single folders")
        packer.add(replace(member, path=name))
    return packer.finish()


def _below(top: str, snapshot: Snapshot) -> Iterator[tuple[str, str, SnapshotEntry]]:
    if top in snapshot.entries and snapshot.entries[top].type != "directory":
        yield posixpath.basename(top), top, snapshot.entries[top]
        return
    prefix = "" if top == "." else top + "/"
    for path, entry in sorted(snapshot.entries.items()):
        if path.startswith(prefix):
            yield path[len(prefix) :], path, entry


def _git_mode(kind: str, mode: int) -> str:
    if kind == "symlink":
        return "120000"
    return "100755" if mode & 0o100 else "100644"
